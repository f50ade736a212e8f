"use strict";
(() => {
  const FIELDS = ["os", "osv", "kernel", "service", "k8s", "gpu", "intent"];
  const NAMED = { gpu: "GPU", service: "Kubernetes service", os: "Operating system", intent: "Intent" };
  const TYPES = { K8s: "Kubernetes", SystemD: "systemd", OS: "Operating system", GPU: "GPU" };
  const SHORT = {
    eks: "EKS", gke: "GKE", aks: "AKS", oke: "OKE", "self-managed": "Self-managed", cos: "COS", rhel: "RHEL", rocky: "Rocky", amazonlinux: "Amazon Linux",
    training: "Training", inference: "Inference",
  };
  const $ = (id) => document.getElementById(id);
  const form = $("form"), main = $("recipe"), body = $("body"), status = $("status"), fault = $("fault");
  let catalog = {}, asking = null, serial = 0, timer = 0, command = "eidos", filter = "";

  /* Everything that comes from outside is text: nothing is ever parsed as HTML. */
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  }
  const count = (number, one, many) => `${number} ${number === 1 ? one : many || one + "s"}`;
  const written = (value) => (value === "" ? '""' : String(value));

  function face(field, entry) {
    if (SHORT[entry.name]) return SHORT[entry.name];
    if (field === "gpu") return entry.name === "rtx-pro-6000" ? "RTX PRO 6000" : entry.name.toUpperCase();
    return entry.title;
  }

  function chips(field) {
    const set = make("fieldset", {}, make("legend", {}, NAMED[field]));
    const box = make("div", { class: "chips" });
    const add = (value, text, title, general) => {
      const input = make("input", { type: "radio", name: field, value, checked: value === "" });
      const label = make("span", { class: "face", title }, text);
      if (general) label.append(make("span", { class: "dot", "aria-hidden": "true" }), make("span", { class: "hear" }, ", without advice of its own"));
      box.append(make("label", { class: value === "" ? "chip any" : "chip" }, input, label));
    };
    add("", "Any", "Nothing is said about it");
    for (const entry of catalog[field] || []) add(entry.name, face(field, entry), entry.title, entry.layers === 0);
    set.append(box);
    return set;
  }

  function chosen() {
    const said = {};
    const data = new FormData(form);
    for (const field of FIELDS) {
      const value = (data.get(field) || "").trim();
      if (value) said[field] = value;
    }
    return said;
  }

  const search = (said, more) => new URLSearchParams({ ...said, ...more }).toString();
  const quoted = (text) => (/^[\w.,:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  function commands(said) {
    const flags = Object.entries(said).map(([field, value]) => ` --${field} ${quoted(value)}`).join("");
    const query = search(said);
    const address = quoted(`${location.origin}/v1/recipe${query ? "?" + query : ""}`);
    return {
      eidos: `eidos recipe${flags} -o recipe.yaml\neidos bundle -f recipe.yaml -o bundle`,
      curl: `curl -fsS ${address} -o recipe.json\ncurl -fsS ${quoted(location.origin + "/v1/bundle")} --data-binary @recipe.json -o bundle.tar.gz`,
    };
  }

  function showCommand() {
    const said = chosen();
    $("command").textContent = commands(said)[command];
    $("cli-tab").setAttribute("aria-pressed", String(command === "eidos"));
    $("curl-tab").setAttribute("aria-pressed", String(command === "curl"));
    $("yaml").href = `/v1/recipe${Object.keys(said).length ? "?" + search(said) : ""}`;
  }

  async function problem(response) {
    let said = {};
    try { said = await response.json(); } catch { /* a proxy's page, most likely */ }
    const wait = response.headers.get("Retry-After");
    const advice = (said.details && said.details.hint) || "";
    const hint = advice.charAt(0).toUpperCase() + advice.slice(1) || (wait ? `Try again in ${wait} s.` : "");
    return { text: said.message || `The server answered ${response.status}.`, hint };
  }

  function complain(found) {
    fault.replaceChildren(make("div", { class: "notice bad" }, make("strong", {}, found.text), found.hint ? make("span", {}, found.hint) : null));
  }

  async function ask() {
    const mine = ++serial;
    if (asking) asking.abort();
    asking = new AbortController();
    const said = chosen();
    main.setAttribute("aria-busy", "true");
    showCommand();
    const hash = search(said);
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
    try {
      const response = await fetch(`/v1/recipe?${search(said, { context: "true" })}`, { headers: { Accept: "application/json" }, signal: asking.signal });
      if (!response.ok) throw await problem(response);
      const recipe = await response.json();
      if (mine !== serial) return;
      fault.replaceChildren();
      show(recipe);
      $("take").hidden = false;
    } catch (error) {
      if (mine !== serial || error.name === "AbortError") return;
      status.textContent = "";
      $("take").hidden = true;
      body.replaceChildren();
      $("title").textContent = "Recipe";
      complain(error.text ? error : { text: "The server does not answer.", hint: "Is it still running? The choice is kept; try again." });
    } finally {
      if (mine === serial) main.setAttribute("aria-busy", "false");
    }
  }

  function names(said) {
    const parts = ["gpu", "service", "os", "intent"].filter((field) => said[field]).map((field) => {
      const entry = (catalog[field] || []).find((each) => each.name === said[field]);
      return entry ? face(field, entry) : said[field];
    });
    return parts.length ? parts.join(" · ") : "Any GPU node";
  }

  function show(recipe) {
    const constraints = recipe.constraints || [], components = recipe.components || [];
    const readings = recipe.measurements.reduce((sum, each) => sum + each.subtypes.reduce((all, part) => all + Object.keys(part.data).length, 0), 0);
    $("title").textContent = names(recipe.request);
    document.title = `${names(recipe.request)} · eidos`;
    status.textContent = `${count(readings, "reading")}, ${count(constraints.length, "constraint")}, ${count(components.length, "component")}`;
    const meta = recipe.metadata;
    $("data").textContent = ` · recipe data ${(meta["recipe-timestamp"] || "").slice(0, 10)} ${(meta["recipe-data"] || "").slice(0, 12)}`;
    const blocks = [];
    if (meta["recipe-uncovered"]) {
      blocks.push(make("div", { class: "notice warn" }, make("strong", {}, `Nothing here is specific to the ${meta["recipe-uncovered"].replace(", ", " or the ").replace("gpu", "GPU")}.`),
        make("span", {}, "It is known, and gets what holds for everything.")));
    }
    if (components.length) blocks.push(card("Components", "in the order of installation", listOf(components.map(component))));
    if (constraints.length) blocks.push(card("Constraints", "what a node must satisfy", listOf(constraints.map((each) => row(each.name, each.value, each.why)))));
    blocks.push(readingsCard(recipe, readings));
    blocks.push(card("Layers", "what was merged, later ones stand", make("ul", { class: "tags" }, ...recipe.matchedRules.map((rule) => make("li", {}, layer(rule))))));
    body.replaceChildren(...blocks);
  }

  const layer = (rule) => rule.replace(/^overlays\//, "").replace(/\.yaml(?:\[\d+\])?: /, ": ").replace(/^base: any$/, "base: every node");
  /* Long paths break behind their slashes. */
  const broken = (key) => key.split(/(?<=[/.])/).flatMap((part) => [part, make("wbr")]);
  const listOf = (items) => make("ul", { class: "rows" }, ...items);

  function card(title, aside, ...children) {
    return make("section", { class: "card", "aria-label": title }, make("header", {}, make("h3", {}, title), make("span", { class: "quiet" }, aside)), ...children);
  }

  function row(key, value, why) {
    const pair = make("div", { class: "pair" }, make("span", { class: "key" }, ...broken(key)), make("span", { class: "value" }, written(value)));
    return make("li", {}, pair, make("span", { class: "why" }, why || ""));
  }

  function component(each) {
    const left = make("div", { class: "pair" }, make("span", { class: "name" }, each.id), make("span", { class: "value" }, each.version || "no version of its own"));
    const source = [each.namespace && `namespace ${each.namespace}`, each.depends && `needs ${each.depends.join(", ")}`].filter(Boolean).join(" · ");
    const right = make("div", { class: "pair" }, each.why ? make("span", { class: "why" }, each.why) : null, source ? make("span", { class: "small" }, source) : null);
    return make("li", {}, left, right);
  }

  function readingsCard(recipe, total) {
    const input = make("input", { class: "filter", type: "search", id: "filter", placeholder: "Filter readings", "aria-label": "Filter readings", autocomplete: "off", spellcheck: "false" });
    input.value = filter;
    const place = make("div", {});
    const fill = () => {
      const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
      const parts = [];
      let left = 0;
      for (const measurement of recipe.measurements) {
        for (const subtype of measurement.subtypes) {
          const why = subtype.context || {};
          const rows = Object.entries(subtype.data).filter(([key, value]) => {
            const text = `${measurement.type} ${subtype.subtype} ${key} ${value} ${why[key] || ""}`.toLowerCase();
            return words.every((word) => text.includes(word));
          });
          if (!rows.length) continue;
          left += rows.length;
          parts.push(make("h4", { class: "sub" }, `${TYPES[measurement.type] || measurement.type} · ${subtype.subtype}`, make("span", {}, String(rows.length))));
          parts.push(listOf(rows.map(([key, value]) => row(key, value, why[key]))));
        }
      }
      if (!parts.length) parts.push(make("p", { class: "none quiet" }, "No reading has these words."));
      place.replaceChildren(...parts);
      return left;
    };
    input.addEventListener("input", () => {
      filter = input.value;
      const left = fill();
      status.textContent = filter ? `${left} of ${count(total, "reading")} shown` : count(total, "reading");
    });
    fill();
    return make("section", { class: "card", "aria-label": "Readings" }, make("header", {}, make("h3", {}, "Readings"), input), place);
  }

  async function download(archive, button) {
    const said = chosen(), query = search(said);
    button.disabled = true;
    status.textContent = "Making the bundle …";
    try {
      const recipe = await fetch(`/v1/recipe${query ? "?" + query : ""}`, { headers: { Accept: "application/json" } });
      if (!recipe.ok) throw await problem(recipe);
      const made = await fetch(`/v1/bundle?archive=${archive}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: await recipe.text() });
      if (!made.ok) throw await problem(made);
      const address = URL.createObjectURL(await made.blob());
      const link = make("a", { href: address, download: `${["eidos", ...Object.values(said)].join("-").replace(/[^\w.-]+/g, "_")}.${archive}` });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
      fault.replaceChildren();
      status.textContent = `The bundle is downloaded: ${link.download}`;
    } catch (error) {
      status.textContent = "";
      complain(error.text ? error : { text: "The bundle could not be made.", hint: "Is the server still running?" });
    } finally {
      button.disabled = false;
      button.focus();
    }
  }

  async function copy() {
    const button = $("copy"), text = $("command").textContent;
    let done = false;
    try { await navigator.clipboard.writeText(text); done = true; } catch {
      /* No clipboard without TLS: select it, and let the browser's own command copy it. */
      const range = document.createRange();
      range.selectNodeContents($("command"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Selected";
    status.textContent = done ? "The command is copied." : "The command is selected; copy it with the keyboard.";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  function known() {
    const entry = (catalog.os || []).find((each) => each.name === chosen().os);
    $("osv-known").replaceChildren(...((entry && entry.versions) || []).map((value) => make("option", { value })));
  }

  function restore() {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [field, value] of said) {
      if (!FIELDS.includes(field)) continue;
      if (NAMED[field]) {
        const input = [...form.elements].find((each) => each.name === field && each.value === value);
        if (input) input.checked = true;
      } else {
        $(field).value = value;
        $("versions").open = true;
      }
    }
  }

  async function begin() {
    try {
      const response = await fetch("/v1/catalog", { headers: { Accept: "application/json" } });
      if (!response.ok) throw await problem(response);
      catalog = (await response.json()).catalog;
    } catch (error) {
      main.setAttribute("aria-busy", "false");
      $("choices").replaceChildren();
      complain(error.text ? error : { text: "The catalog could not be read.", hint: "Is the server still running? Load the page again." });
      return;
    }
    $("choices").replaceChildren(...["gpu", "service", "os", "intent"].map(chips));
    $("legend").hidden = !Object.values(catalog).some((entries) => entries.some((entry) => entry.layers === 0));
    restore();
    known();
    ask();
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  form.addEventListener("reset", () => setTimeout(() => { filter = ""; known(); ask(); }));
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (event.target.name === "os") known();
    timer = setTimeout(ask, event.target.type === "radio" ? 0 : 350);
  });
  addEventListener("hashchange", () => { form.reset(); setTimeout(() => { restore(); known(); ask(); }); });
  $("tar").addEventListener("click", (event) => download("tar.gz", event.currentTarget));
  $("zip").addEventListener("click", (event) => download("zip", event.currentTarget));
  $("yaml").addEventListener("click", async (event) => {
    event.preventDefault();
    const link = event.currentTarget;
    const response = await fetch(link.href, { headers: { Accept: "application/yaml" } });
    if (!response.ok) { complain(await problem(response)); return; }
    const address = URL.createObjectURL(await response.blob());
    make("a", { href: address, download: "recipe.yaml" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  });
  $("copy").addEventListener("click", copy);
  $("cli-tab").addEventListener("click", () => { command = "eidos"; showCommand(); });
  $("curl-tab").addEventListener("click", () => { command = "curl"; showCommand(); });
  form.hidden = false;  /* without this script it would do nothing */
  begin();
})();
