/* What happens on the page: a choice becomes an address, a recipe, and a bundle.
   ``view`` is what the address names; ``shown`` is the last recipe that arrived, and stays when the next one does not. */
const form = $("form"), main = $("recipe"), body = $("body"), status = $("status"), fault = $("fault");
let view = { choice: {}, without: [], compare: null }, shown = null, componentList = null;
let loading = null, timer = 0, command = "eidos", filter = "", showsAll = false, lastText = "";

const sameAddress = (one, other) => formatAddress(one) === formatAddress(other);

/* ---- requests ---- */

async function problem(response) {
  let content = {};
  try { content = await response.json(); } catch { /* a proxy's page, most likely */ }
  const wait = response.headers.get("Retry-After");
  const hint = (content.details && content.details.hint) || (wait ? `try again in ${wait} s` : "");
  const isNamed = content.details && content.details.parameter;  /* the message begins with the name of a parameter */
  return { text: isNamed ? content.message : sentence(content.message || `the server answered ${response.status}`), hint };
}

async function request(target, options) {
  let response;
  try { response = await fetch(target, options); } catch (error) {
    if (error.name === "AbortError") throw error;
    throw { text: `Cannot reach ${location.host}`, hint: "check that the server is running, then try again" };
  }
  if (!response.ok) throw await problem(response);
  return response;
}

const getRecipe = async (choice, signal) => (await request(`/v1/recipe?${search(choice, { context: "true", explain: "true" })}`, { headers: { Accept: "application/json" }, signal })).json();

function complain(error, retry) {
  if (!error.text) {
    console.error(error);
    error = { text: "The answer of the server could not be read", hint: error.message };
  }
  const again = retry ? make("button", { type: "button", class: "plain", id: "retry", onclick: retry }, "Try again") : null;
  const stays = shown ? make("span", {}, `The recipe below is the last one, for ${nameOf(shown.choice)}.`) : null;
  fault.replaceChildren(make("div", { class: "notice bad" }, make("strong", {}, error.text), error.hint ? make("span", {}, sentence(error.hint)) : null, stays, again));
}

async function load() {
  if (loading) loading.abort();
  const mine = loading = new AbortController(), { choice, compare } = view;
  main.setAttribute("aria-busy", "true");
  try {
    const [recipe, reference] = await Promise.all([getRecipe(choice, mine.signal), compare ? getRecipe(compare, mine.signal) : null]);
    if (mine !== loading) return;
    shown = { choice, recipe, compare, reference };
    fault.replaceChildren();
    show();
  } catch (error) {
    if (mine !== loading || error.name === "AbortError") return;
    status.textContent = "";
    complain(error, load);
  } finally {
    if (mine === loading) main.setAttribute("aria-busy", "false");
  }
}

/* ---- address and form ---- */

function go(next, replaces) {
  const isSame = shown && !fault.firstChild && search(next.choice) === search(shown.choice) && JSON.stringify(next.compare) === JSON.stringify(shown.compare);
  view = next;
  if (replaces) history.replaceState(null, "", formatAddress(view));
  else history.pushState(null, "", formatAddress(view));
  if (!isSame) load();
  else {
    if (loading) loading.abort();
    loading = null;
    main.setAttribute("aria-busy", "false");
    showSwitches();
  }
}

function onAddress() {
  const next = parseAddress();
  lastText = "";
  if (sameAddress(next, view)) { history.replaceState(null, "", formatAddress(view)); return; }
  fillForm(next.choice);
  go(next, true);
}

function readForm() {
  const choice = {}, data = new FormData(form);
  for (const field of FIELDS) {
    const value = (data.get(field) || "").trim();
    if (value) choice[field] = value;
  }
  return choice;
}

function fillForm(choice) {
  for (const field of FIELDS) {
    const value = choice[field] || "";
    if (NAMED[field]) for (const input of form.querySelectorAll(`[name=${field}]`)) input.checked = input.value === value;
    else $(field).value = value;
    if (value && !NAMED[field]) $("versions").open = true;
  }
  suggestVersions();
}

function suggestVersions() {
  const entry = (catalog.os || []).find((each) => each.name === readForm().os);
  $("osv-known").replaceChildren(...((entry && entry.versions) || []).map((value) => make("option", { value })));
}

function chips(field) {
  const box = make("div", { class: "chips" });
  const add = (value, text, title, isGeneral) => {
    const label = make("span", { class: "face", title }, text);
    if (isGeneral) label.append(make("span", { class: "dot", "aria-hidden": "true" }), make("span", { class: "hear" }, ", general settings only"));
    box.append(make("label", { class: value === "" ? "chip any" : "chip" }, make("input", { type: "radio", name: field, value, checked: value === "" }), label));
  };
  add("", "Any", "Not specified");
  for (const entry of catalog[field] || []) add(entry.name, face(field, entry), entry.title, entry.layers === 0);
  return make("fieldset", {}, make("legend", {}, NAMED[field]), box);
}

/* ---- the recipe ---- */

function show() {
  const { choice, recipe, compare, reference } = shown, name = nameOf(choice), bibliography = new Bibliography();
  const constraints = constraintGroups(recipe), readings = readingGroups(recipe), components = recipe.components || [], meta = recipe.metadata;
  $("title").textContent = reference ? `${nameOf(compare)} and ${name}` : name;
  document.title = `${$("title").textContent} · eidos`;
  $("data").textContent = ` · recipe data ${(meta["recipe-timestamp"] || "").slice(0, 10)} ${(meta["recipe-data"] || "").slice(0, 12)}`;
  $("take").hidden = $("compare").hidden = Boolean(reference);
  $("comparing").hidden = !reference;
  const blocks = [];
  componentList = null;
  if (reference) {
    blocks.push(showComparison(nameOf(compare), name, [reference, recipe], bibliography), bibliography.card());
  }
  else {
    const citations = citationsOf(recipe);
    status.textContent = [count(countLines(readings), "reading"), count(countLines(constraints), "constraint"), count(components.length, "component")].join(", ");
    if (recipe.impossible && recipe.impossible.length) {
      blocks.push(make("div", { class: "notice warn" }, make("strong", {}, "No such node is possible. "), make("span", {}, `${recipe.impossible.join("; ")}.`)));
    }
    if (recipe.generic && recipe.generic.length) {
      const words = { gpu: "this GPU", service: "this service", "gpu+service": "this GPU on this service" };
      const names = recipe.generic.map((name) => words[name] || name).join(" or to ");
      blocks.push(make("div", { class: "notice warn" }, make("strong", {}, `Nothing here is specific to ${names}.`), make("span", {}, "The values combine what is known of each, and of every GPU node.")));
    }
    if (components.length) {
      componentList = new ComponentList(recipe, bibliography, onSwitch);
      blocks.push(card("Components", "in the order of installation; arrows lead to what needs them", componentList.element));
    }
    if (constraints.length) blocks.push(card("Constraints", "limits that a node must meet", recipeTable("Constraints", ["Setting", "Required"], constraints, false, citations, bibliography)));
    const makeTable = (groups) => recipeTable("Readings", ["Setting", "Recommended"], groups, true, citations, bibliography);
    blocks.push(new FilteredCard("Readings", readings, makeTable, {
      text: filter, noun: "reading",
      onChange: (text, left, total) => { filter = text; status.textContent = text ? `${left} of ${count(total, "reading")} shown` : count(total, "reading"); },
    }).element);
    bibliography.register(readings, citations);
    blocks.push(bibliography.card());
    blocks.push(card("Layers", "merged in this order; later ones win", make("ol", { class: "tags" }, ...recipe.matchedRules.map((rule) => make("li", {}, layerName(rule))))));
    blocks.push(coverageCard());
  }
  body.replaceChildren(...blocks.filter(Boolean));
  showSwitches();
}

const layerName = (rule) => rule.replace(/^overlays\//, "").replace(/\.yaml(?:\[\d+\])?: /, ": ").replace(/^base: any$/, "base: every node");

function showComparison(first, second, recipes, bibliography) {
  const groups = comparedGroups(...recipes), total = countLines(groups), different = countLines(onlyDifferences(groups));
  bibliography.register(groups, ...recipes.map(citationsOf));
  status.textContent = first === second ? "Both are the same. Choose the other node." : `${different} of ${count(total, "line")} differ`;
  const box = make("input", { type: "checkbox", id: "show-all", checked: showsAll });
  const filtered = new FilteredCard("Comparison", groups, (lines) => comparisonTable([first, second], recipes, bibliography, lines), {
    text: filter, extra: make("label", { class: "check" }, box, "Show equal lines"), select: (all) => (showsAll ? all : onlyDifferences(all)),
    onChange: (text, left) => { filter = text; status.textContent = `${count(left, "line")} shown`; },
  });
  box.addEventListener("change", () => { showsAll = box.checked; filtered.fill(); });
  return filtered.element;
}

/* ---- components, commands and downloads ---- */

const included = () => [...includedComponents(shown.recipe.components || [], view.without)];
const hasSwitchedOff = () => included().length < (shown.recipe.components || []).length;

function onSwitch(id, isOn) {
  const before = included();
  go({ ...view, without: switchComponent(shown.recipe.components, view.without, id, isOn) });
  const after = included(), [more, less] = isOn ? [after, before] : [before, after];
  const along = more.filter((each) => each !== id && !less.includes(each));
  status.textContent = `${id} is ${isOn ? "on" : "off"}${along.length ? `, with what ${isOn ? "it needs" : "needs it"}: ${along.join(", ")}` : ""}`;
}

function showSwitches() {
  if (componentList) componentList.update(view.without);
  const isEmpty = !included().length && hasSwitchedOff();
  $("tar").disabled = $("zip").disabled = isEmpty;
  $("none").hidden = !isEmpty;
  showCommand();
}

const quoted = (text) => (/^[\w.,:/@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function showCommand() {
  const { choice } = shown, query = search(choice), names = hasSwitchedOff() ? included().join(",") : "";
  const flags = Object.entries(choice).map(([field, value]) => ` --${field} ${quoted(value)}`).join("");
  const address = quoted(`${location.origin}/v1/recipe${query ? "?" + query : ""}`);
  $("command").textContent = command === "eidos"
    ? `eidos recipe${flags} -o recipe.yaml\neidos bundle -f recipe.yaml${names ? ` -b ${quoted(names)}` : ""} -o bundle`
    : `curl -fsS ${address} -o recipe.json\ncurl -fsS ${quoted(`${location.origin}/v1/bundle${names ? "?bundlers=" + names : ""}`)} --data-binary @recipe.json -o bundle.tar.gz`;
  $("cli-tab").setAttribute("aria-pressed", String(command === "eidos"));
  $("curl-tab").setAttribute("aria-pressed", String(command === "curl"));
  $("yaml").href = `/v1/recipe${query ? "?" + query : ""}`;
}

async function save(response, name) {
  const address = URL.createObjectURL(await response.blob());
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  status.textContent = `Downloaded ${name}`;
}

async function download(button, run) {
  button.disabled = true;
  status.textContent = "Downloading …";
  try { await run(); fault.replaceChildren(); } catch (error) {
    status.textContent = "";
    complain(error, () => download(button, run));
  } finally {
    button.disabled = false;
    button.focus();
  }
}

async function downloadBundle(archive) {
  const { choice } = shown, parameters = { archive };
  if (hasSwitchedOff()) parameters.bundlers = included().join(",");
  const recipe = await request(`/v1/recipe?${search(choice)}`, { headers: { Accept: "application/json" } });
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: await recipe.text() };
  const name = ["eidos", ...Object.values(choice)].join("-").replace(/[^\w.-]+/g, "_");
  await save(await request(`/v1/bundle?${new URLSearchParams(parameters)}`, options), `${name}.${archive}`);
}

async function copy() {
  const button = $("copy");
  let done = false;
  try { await navigator.clipboard.writeText($("command").textContent); done = true; } catch {
    /* No clipboard without TLS: select it, and let the browser's own command copy it. */
    const range = document.createRange();
    range.selectNodeContents($("command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "Copied" : "Selected";
  status.textContent = done ? "Copied the command" : "The command is selected; copy it with the keyboard";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

/* ---- start ---- */

async function start() {
  try {
    const tree = await (await request("/v1/catalog", { headers: { Accept: "application/json" } })).json();
    catalog = tree.catalog;
    urls = tree.urls;
    matrix = tree.matrix || [];
  } catch (error) {
    main.setAttribute("aria-busy", "false");
    $("choices").replaceChildren();
    complain(error, () => { fault.replaceChildren(); start(); });
    return;
  }
  $("choices").replaceChildren(...Object.keys(NAMED).map(chips));
  $("machine-known").replaceChildren(...(catalog.machine || []).map((entry) => make("option", { value: entry.name }, entry.hardware)));
  $("legend").hidden = !Object.values(catalog).some((entries) => entries.some((entry) => entry.layers === 0));
  const first = parseAddress();
  fillForm(first.choice);
  go(first, true);
  addEventListener("popstate", onAddress);
  addEventListener("hashchange", onAddress);
}

function onInput(event) {
  clearTimeout(timer);
  const { name, type } = event.target, isText = type !== "radio";
  if (name === "os") suggestVersions();
  const change = () => {
    const choice = readForm();
    if (search(choice) === search(view.choice)) return;
    go({ ...view, choice }, isText && lastText === name);
    lastText = isText ? name : "";
    fillForm(choice);
  };
  if (isText) timer = setTimeout(change, 350);
  else change();
}

form.addEventListener("submit", (event) => { event.preventDefault(); load(); });
form.addEventListener("reset", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  filter = lastText = "";
  fillForm({});
  go({ choice: {}, without: [], compare: null });
});
form.addEventListener("input", onInput);
$("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
$("compare").addEventListener("click", () => { fillForm(shown.choice); go({ ...view, choice: shown.choice, compare: shown.choice }); form.querySelector("input:checked").focus(); });
$("stop").addEventListener("click", () => { go({ ...view, compare: null }); $("compare").focus(); });
$("swap").addEventListener("click", () => { fillForm(shown.compare); go({ ...view, choice: shown.compare, compare: shown.choice }); });
$("tar").addEventListener("click", (event) => download(event.currentTarget, () => downloadBundle("tar.gz")));
$("zip").addEventListener("click", (event) => download(event.currentTarget, () => downloadBundle("zip")));
$("yaml").addEventListener("click", (event) => {
  event.preventDefault();
  const link = event.currentTarget;
  download(link, async () => save(await request(link.href, { headers: { Accept: "application/yaml" } }), "recipe.yaml"));
});
$("copy").addEventListener("click", copy);
$("cli-tab").addEventListener("click", () => { command = "eidos"; showCommand(); });
$("curl-tab").addEventListener("click", () => { command = "curl"; showCommand(); });
form.hidden = $("drop").hidden = false;  /* without this script they would do nothing */
start();
