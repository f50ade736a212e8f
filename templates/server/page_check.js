/* Snapshots that are dropped on the page: the findings of each, and what differs between two.
   Knows the documents of a report and of a diff; must not know recipes. A snapshot is sent to the server, and stored nowhere. */
const input = $("snapshots"), checked = $("checked"), checkFault = $("check-fault");
let snapshots = [], adding = Promise.resolve();

const LEVELS = { critical: "bad", error: "bad", warning: "warn", info: "soft" };
const COSTS = { reload: "no interruption", restart: "restarts a service", drain: "drain the node", reboot: "reboots the node" };

/* The text of a document as the value of a key: JSON as it is, YAML below the key, without the marks around it. */
function embedded(key, text) {
  try { return `${JSON.stringify(key)}: ${JSON.stringify(JSON.parse(text))}\n`; } catch { /* YAML, or nothing that the server will take */ }
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/).filter((line) => !/^(---|\.\.\.)\s*$/.test(line));
  return `${key}:\n${lines.map((line) => (line ? `  ${line}` : "")).join("\n")}\n`;
}

async function post(target, body) {
  const headers = { "Content-Type": "application/yaml", Accept: "application/json" };
  return (await request(target, { method: "POST", headers, body })).json();
}

function steps(remedy) {
  const lines = remedy.steps.map((step) => {
    if (step.write) return make("li", {}, "write ", make("code", {}, step.write), make("pre", {}, step.content));
    return make("li", {}, step.do || make("code", {}, step.run || step.set));
  });
  return [make("ol", {}, ...lines), COSTS[remedy.cost] ? make("p", { class: "quiet" }, `Cost: ${COSTS[remedy.cost]}`) : null];
}

function findingItem(finding) {
  const isUnknown = finding.status === "unknown", mark = isUnknown ? "unknown" : finding.severity, { source } = finding;
  const values = isUnknown ? finding.reason : `Expected ${finding.expected || "otherwise"}, found ${finding.actual || "not set"}. ${finding.reason || ""}`;
  return make(
    "li", {},
    make("p", {}, make("span", { class: `mark ${LEVELS[mark] || "soft"}` }, mark), " ", make("b", {}, finding.title), " ", make("code", {}, finding.id)),
    make("p", { class: "why" }, values),
    ...(finding.remedy ? steps(finding.remedy) : []),
    source && source.document && !isUnknown ? make("p", { class: "quiet" }, "Source: ", outside(source.url, {}, source.document)) : null,
  );
}

/* What could not be judged, by what would show it. */
function unknownItems(findings) {
  const reasons = new Map();
  for (const finding of findings) {
    const why = finding.reason.replace(/^could not read .*?: /, "");
    reasons.set(why, [...(reasons.get(why) || []), finding.id]);
  }
  return [...reasons].map(([why, ids]) => make("li", {}, make("p", {}, why), make("p", { class: "quiet" }, ids.join(", "))));
}

const folded = (title, items) => (items.length ? make("details", {}, make("summary", {}, title), make("ul", { class: "findings" }, ...items)) : null);

function reportCard({ name, report }) {
  const by = (status) => report.findings.filter((finding) => finding.status === status);
  const failed = by("fail"), unknown = by("unknown"), passed = by("pass");
  const counts = ["critical", "error", "warning", "info"].map((level) => [level, failed.filter((finding) => finding.severity === level).length]);
  const verdict = counts.filter(([, number]) => number).map(([level, number]) => (level === "error" || level === "warning" ? count(number, level) : `${number} ${level}`));
  const title = [report.metadata["source-node"], name].filter(Boolean).join(" · ");
  return card(
    title, `${verdict.join(", ") || "no findings"}, ${unknown.length} unknown, ${passed.length} passed`,
    ...(report.notes || []).map((note) => make("p", { class: "quiet aside" }, sentence(note.replace("(choose with --intent)", "(choose an intent first)")))),
    make("ul", { class: "findings" }, ...failed.map(findingItem)),
    folded(`${unknown.length} could not be judged`, unknownItems(unknown)),
    folded(`${passed.length} passed`, passed.map((finding) => make("li", {}, make("p", {}, finding.title, " ", make("code", {}, finding.id))))),
  );
}

function differenceCard(diff) {
  const groups = new Map();
  for (const change of diff.changes) {
    if (!groups.has(change.group)) groups.set(change.group, []);
    groups.get(change.group).push({ path: change.path, key: change.path, values: [change.from, change.to] });
  }
  const shown = (value) => make("td", { class: value === undefined ? "value absent" : "value" }, value === undefined ? "not set" : typeof value === "object" ? JSON.stringify(value) : shownValue(value));
  const lines = table("Differences", ["Setting", ...snapshots.map((each) => each.name)], [...groups].map(([title, lines]) => ({ title, lines })), true, (line) => line.values.map(shown));
  return card("What differs", sentence(diff.summary.sentence || "nothing"), diff.changes.length ? lines : make("p", { class: "none" }, "Nothing differs."));
}

function complainOfSnapshot(error) {
  checkFault.replaceChildren(make("div", { class: "notice bad" }, make("strong", {}, error.text || "The snapshot could not be read"), make("span", {}, sentence(error.hint || error.message || ""))));
  status.textContent = "";
}

/* Judge the files; of two that are there, say what differs. A third one takes the place of both. */
async function addSnapshots(files) {
  checkFault.replaceChildren();
  checked.setAttribute("aria-busy", "true");
  status.textContent = "Checking …";
  try {
    for (const file of files.slice(0, 2)) {
      const text = await file.text(), { intent, platform } = view.choice;
      const purpose = new URLSearchParams(Object.entries({ intent, platform }).filter(([, value]) => value));
      let report;
      try { report = await post(`/v1/check${purpose.size ? `?${purpose}` : ""}`, text); } catch (error) { throw error.text ? { ...error, text: `${file.name}: ${error.text}` } : error; }
      snapshots = [...(snapshots.length < 2 ? snapshots : []), { name: file.name, text, report }];
    }
    const cards = snapshots.map(reportCard);
    if (snapshots.length === 2) cards.push(differenceCard(await post("/v1/diff", snapshots.map(({ text }, side) => embedded(side ? "to" : "from", text)).join(""))));
    checked.replaceChildren(...cards);
    status.textContent = snapshots.map(({ name, report }) => `${name}: ${count(report.findings.filter((finding) => finding.status === "fail").length, "finding")}`).join(", ");
  } catch (error) { complainOfSnapshot(error); }
  checked.removeAttribute("aria-busy");
  $("forget").hidden = !snapshots.length;
  input.value = "";
}

/* One after the other: what comes while another is judged waits for it. */
const add = (files) => { const chosen = [...files]; adding = adding.then(() => addSnapshots(chosen)); };

input.addEventListener("change", () => add(input.files));
$("forget").addEventListener("click", () => {
  adding = adding.then(() => {
    snapshots = [];
    for (const node of [checked, checkFault]) node.replaceChildren();
    $("forget").hidden = true;
    status.textContent = "Removed the snapshots";
    input.focus();
  });
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
