/* Tables of a recipe's lines that can be scanned: constraints and readings, each value with its reason and its sources.
   Knows rows and columns; must not know where a recipe comes from. */

/* Groups of lines: [{title, lines: [{path, key, value, why}]}] */
function constraintGroups(recipe) {
  const lines = (recipe.constraints || []).map((each) => ({ path: `constraints.${each.name}`, key: each.name, value: each.value, why: each.why }));
  return lines.length ? [{ title: "Constraints", lines }] : [];
}

function readingGroups(recipe) {
  return recipe.measurements.flatMap((measurement) => measurement.subtypes.map((subtype) => ({
    title: `${TYPES[measurement.type] || measurement.type} · ${subtype.subtype}`,
    lines: Object.entries(subtype.data).map(([key, value]) => ({
      path: `${measurement.type}.${subtype.subtype}.${key}`, key, value, why: (subtype.context || {})[key],
    })),
  })));
}

const countLines = (groups) => groups.reduce((sum, group) => sum + group.lines.length, 0);

/* The lines in which every word occurs, in the line or in its group's title. */
function filterGroups(groups, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return groups
    .map((group) => ({ ...group, lines: group.lines.filter((line) => {
      const content = [group.title, line.path, ...(line.values || [line.value]), line.why || ""].join(" ").toLowerCase();
      return words.every((word) => content.includes(word));
    }) }))
    .filter((group) => group.lines.length);
}

/* A table whose head and group titles stay in sight; ``cells`` gives the cells of a line behind its key. */
function table(label, columns, groups, hasTitles, cells) {
  const head = make("thead", {}, make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column))));
  const bodies = groups.map((group) => make(
    "tbody", {},
    hasTitles ? make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: columns.length }, group.title, make("span", { class: "number" }, ` ${group.lines.length}`))) : null,
    ...group.lines.map((line) => make("tr", { class: line.differs ? "differs" : null }, make("th", { scope: "row", class: "key" }, ...breakable(line.key), line.differs ? make("span", { class: "hear" }, " (differs)") : null), ...cells(line))),
  ));
  return make("table", { "aria-label": label }, head, ...bodies);
}

function recipeTable(label, columns, groups, hasTitles, citations, bibliography) {
  return table(label, [...columns, "Why", "Sources"], groups, hasTitles, (line) => [
    make("td", { class: "value" }, shownValue(line.value)),
    make("td", { class: "why" }, line.why || ""),
    make("td", { class: "cites" }, ...bibliography.links(citations.get(line.path) || [])),
  ]);
}

/* For each GPU the services on which there is advice of its own, and those on which it is by GPU, by service, or generic; closed at first. */
function coverageCard() {
  if (!matrix.length) return null;
  const services = (cells) => [...new Set(cells.map((cell) => cell.service))].map((service) => {
    const entry = catalog.service.find((each) => each.name === service), of = cells.filter((cell) => cell.service === service);
    return face("service", entry || { name: service, title: service }) + (of.length < catalog.intent.length ? ` (${of.map((cell) => cell.intent).join(", ")})` : "");
  }).join(", ");
  const lines = (catalog.gpu || []).map((entry) => {
    const cells = matrix.filter((cell) => cell.gpu === entry.name);
    const others = { gpu: "by GPU", service: "by service", generic: "generic" };
    const rest = Object.entries(others).map(([kind, word]) => [word, services(cells.filter((cell) => cell.advice === kind))]).filter(([, names]) => names);
    const newest = cells.map((cell) => cell.newest).sort().pop() || "";
    return { key: face("gpu", entry), own: services(cells.filter((cell) => cell.advice === "own")), rest: rest.map((each) => each.join(": ")).join("; "), newest };
  });
  const content = table("Coverage", ["GPU", "Advice of its own on", "Otherwise", "Newest source"], [{ title: "", lines }], false, (line) => [
    make("td", {}, line.own || "none"), make("td", {}, line.rest || "none"), make("td", {}, line.newest),
  ]);
  return make("details", { class: "card", id: "coverage", "aria-labelledby": "coverage-title" }, make("summary", { id: "coverage-title" }, "What is covered: GPUs by service"), content);
}

/* A card with a table that can be filtered; ``extra`` stands beside the filter, and ``select`` chooses lines besides. */
class FilteredCard {
  constructor(title, groups, makeTable, { text = "", extra = null, select = (all) => all, onChange, noun = "line" }) {
    Object.assign(this, { groups, makeTable, select, onChange, noun });
    this.input = make("input", { class: "filter", type: "search", id: "filter", placeholder: `Filter ${noun}s`, "aria-label": `Filter ${noun}s`, autocomplete: "off", spellcheck: "false" });
    this.input.value = text;
    this.input.addEventListener("input", () => this.onChange(this.input.value, this.fill(), countLines(this.groups)));
    this.content = make("div", {});
    this.element = card(title, make("div", { class: "tools" }, extra, this.input), this.content);
    this.fill();
  }

  /* The number of lines that are shown. */
  fill() {
    const groups = filterGroups(this.select(this.groups), this.input.value);
    const none = this.input.value ? `No ${this.noun} matches '${this.input.value}'.` : "No differences.";
    this.content.replaceChildren(groups.length ? this.makeTable(groups) : make("p", { class: "none quiet" }, none));
    return countLines(groups);
  }
}
