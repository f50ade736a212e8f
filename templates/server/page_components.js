/* The components of a recipe: the order of installation, drawn, and which of them are switched off.
   Knows components and what each needs; must not know the address, nor how a bundle is requested. */

/* The ids that are installed: those that are not switched off, and need nothing that is. */
function includedComponents(components, without) {
  const ids = new Set(components.map((each) => each.id)), included = new Set();
  for (const each of components) {
    const needs = (each.depends || []).filter((id) => ids.has(id));
    if (!without.includes(each.id) && needs.every((id) => included.has(id))) included.add(each.id);
  }
  return included;
}

/* What is switched off once a component is switched: switched on, it brings along what it needs. */
function switchComponent(components, without, id, isOn) {
  if (!isOn) return [...without.filter((each) => each !== id), id];
  const required = [id];
  for (const each of required) required.push(...((components.find((other) => other.id === each) || {}).depends || []).filter((other) => !required.includes(other)));
  return without.filter((each) => !required.includes(each));
}

class ComponentList {
  constructor(recipe, bibliography, onSwitch) {
    this.components = recipe.components || [];
    this.svg = drawn("svg", { "aria-hidden": "true", focusable: "false" });
    const citations = citationsOf(recipe);
    this.rows = this.components.map((each) => {
      const input = make("input", { type: "checkbox", name: `component-${each.id}`, onchange: (event) => onSwitch(each.id, event.target.checked) });
      const step = make("span", { class: "step", "aria-hidden": "true" });
      const version = bibliography.links(citations.get(`components.${each.id}.version`) || citations.get(`components.${each.id}.enabled`) || []);
      const needs = each.depends && each.depends.length ? `needs ${each.depends.join(", ")}` : "";
      const item = make(
        "li", {}, step,
        make(
          "div", { class: "what" },
          make("label", {}, input, make("span", { class: "name" }, each.id)),
          make("span", { class: "value" }, each.version || "no version", " ", ...version),
        ),
        make(
          "div", { class: "about" },
          each.why ? make("span", { class: "why" }, each.why) : null,
          make(
            "span", { class: "small" },
            [each.namespace && `namespace ${each.namespace}`, needs].filter(Boolean).join(" · "),
            ...(each.repository ? [each.namespace || needs ? " · " : "", outside(each.repository, {}, isWeb(each.repository) ? "chart repository" : each.repository)] : []),
          ),
        ),
      );
      return { id: each.id, depends: each.depends || [], input, step, item };
    });
    this.list = make("ol", { class: "components" }, ...this.rows.map((row) => row.item));
    this.element = make("div", { class: "order" }, this.svg, this.list);
    new ResizeObserver(() => this.draw()).observe(this.list);
  }

  update(without) {
    this.included = includedComponents(this.components, without);
    let number = 0;
    for (const row of this.rows) {
      const isOn = this.included.has(row.id);
      row.input.checked = isOn;
      row.item.classList.toggle("off", !isOn);
      row.step.textContent = isOn ? String(++number) : "–";
    }
    this.draw();
  }

  /* A line through all steps, and on its left an arrow from each component to every one that needs it. */
  draw() {
    if (!this.included) return;
    const origin = this.svg.getBoundingClientRect(), boxes = new Map(this.rows.map((row) => [row, row.step.getBoundingClientRect()]));
    const middle = (row) => boxes.get(row).top - origin.top + boxes.get(row).height / 2;
    const x = this.rows.length ? boxes.get(this.rows[0]).left - origin.left + boxes.get(this.rows[0]).width / 2 : 0;
    const shapes = [];
    if (this.rows.length > 1) shapes.push(drawn("path", { class: "rail", d: `M${x} ${middle(this.rows[0])}V${middle(this.rows[this.rows.length - 1])}` }));
    this.rows.forEach((row, at) => {
      for (const id of row.depends) {
        const from = this.rows.findIndex((each) => each.id === id);
        if (from < 0) continue;
        const bulge = Math.min(x * 1.2, 16 + 10 * (at - from)), top = middle(this.rows[from]), bottom = middle(row), edge = x - 13;
        const off = this.included.has(row.id) ? "" : " off";
        shapes.push(drawn("path", { class: `arc${off}`, d: `M${edge} ${top}C${edge - bulge} ${top} ${edge - bulge} ${bottom} ${edge - 2} ${bottom}` }));
        shapes.push(drawn("path", { class: `tip${off}`, d: `M${edge} ${bottom}l-6 -3.5v7z` }));
      }
    });
    this.svg.replaceChildren(...shapes);
  }
}
