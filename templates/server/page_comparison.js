/* Two recipes side by side, line by line.
   Knows which lines differ; must not know how the two were chosen. */

function componentGroups(recipe) {
  const lines = (recipe.components || []).map((each) => ({ path: `components.${each.id}.version`, key: each.id, value: each.version || "no version" }));
  return [{ title: "Components", lines }];
}

/* Groups whose lines have two values, undefined where a recipe lacks the line. */
function comparedGroups(first, second) {
  const titles = new Map();
  [first, second].forEach((recipe, side) => {
    for (const group of [...componentGroups(recipe), ...constraintGroups(recipe), ...readingGroups(recipe)]) {
      if (!titles.has(group.title)) titles.set(group.title, new Map());
      const lines = titles.get(group.title);
      for (const line of group.lines) {
        if (!lines.has(line.path)) lines.set(line.path, { path: line.path, key: line.key, values: [undefined, undefined] });
        lines.get(line.path).values[side] = line.value;
      }
    }
  });
  return [...titles].map(([title, lines]) => ({
    title,
    lines: [...lines.values()].map((line) => ({ ...line, differs: line.values[0] !== line.values[1] })),
  })).filter((group) => group.lines.length);
}

const onlyDifferences = (groups) => groups.map((group) => ({ ...group, lines: group.lines.filter((line) => line.differs) }));

function comparisonTable(names, recipes, bibliography, groups) {
  const citations = recipes.map(citationsOf);
  return table("Comparison", ["Setting", ...names], groups, true, (line) => line.values.map((value, side) => {
    if (value === undefined) return make("td", { class: "value absent" }, line.path.startsWith("components.") ? "not installed" : "not set");
    const links = citations[side].get(line.path) || citations[side].get(line.path.replace(/^(components\..*)\.version$/, "$1.enabled")) || [];
    return make("td", { class: "value" }, shownValue(value), " ", make("span", { class: "cites" }, ...bibliography.links(links)));
  }));
}
