/* The address of the page: the choice that it names, and back.
   Knows fragments, queries and the words of the catalog; must not know the document.

   #gpu=h100&intent=training&without=kai-scheduler&compare=gpu%3Dh200 */
const FIELDS = ["os", "osv", "kernel", "service", "k8s", "gpu", "intent", "platform", "machine"];
const FIELD_ALIASES = { env: "service", osversion: "osv" };
const RESERVED = ["without", "compare", "context", "explain"];
let catalog = {}, urls = {}, matrix = [];

const search = (choice, more) => new URLSearchParams({ ...choice, ...more }).toString();

/* The catalog's name for a value in any case, or for one of its aliases; a value that it does not have is left for the server to judge. */
function canonicalValue(field, value) {
  const lower = value.toLowerCase();
  const entry = (catalog[field] || []).find((each) => each.name === lower || each.aliases.includes(lower));
  return entry ? entry.name : value;
}

/* Fields that are unknown are left out of a query, in which others put theirs; of a fragment they stay, so that a misspelt one is reported. */
function parseChoice(text, isFragment) {
  const values = {}, choice = {}, others = {};
  for (const [key, value] of new URLSearchParams(text)) {
    const lower = key.toLowerCase(), field = FIELD_ALIASES[lower] || lower, trimmed = value.trim();
    if (!trimmed || RESERVED.includes(field)) continue;
    if (!FIELDS.includes(field)) others[key] = trimmed;
    else if (trimmed.toLowerCase() !== "any") values[field] = canonicalValue(field, trimmed);
  }
  for (const field of FIELDS) if (values[field]) choice[field] = values[field];
  return isFragment ? { ...choice, ...others } : choice;
}

function parseAddress() {
  const isFragment = location.hash.includes("=");
  const text = isFragment ? location.hash.slice(1) : location.search.slice(1);
  const parameters = new URLSearchParams(text), compare = parameters.get("compare");
  return {
    choice: parseChoice(text, isFragment),
    without: (parameters.get("without") || "").split(",").filter(Boolean),
    compare: compare === null ? null : parseChoice(compare, isFragment),
  };
}

function formatAddress(view) {
  const more = {};
  if (view.without.length) more.without = view.without.join(",");
  if (view.compare) more.compare = search(view.compare);
  const text = search(view.choice, more).replaceAll("%2C", ",");
  return location.pathname + (text ? `#${text}` : "");
}
