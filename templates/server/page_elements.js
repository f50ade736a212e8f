/* Elements, words and numbered sources, from which the parts of the page are made.
   Knows how one is written; must not know recipes as documents. */
const NAMED = { gpu: "GPU", service: "Kubernetes service", os: "Operating system", intent: "Intent", platform: "Platform" };
const TYPES = { K8s: "Kubernetes", SystemD: "systemd", OS: "Operating system", GPU: "GPU" };
const SHORT = {
  eks: "EKS", gke: "GKE", aks: "AKS", oke: "OKE", "self-managed": "Self-managed", cos: "COS", rhel: "RHEL", rocky: "Rocky", amazonlinux: "Amazon Linux",
  training: "Training", inference: "Inference", "rtx-pro-6000": "RTX PRO 6000", kubeflow: "Kubeflow", slurm: "Slurm", dynamo: "Dynamo", nim: "NIM", "run-ai": "Run:ai",
  none: "No platform",
};
const $ = (id) => document.getElementById(id);

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

function drawn(tag, attributes) {
  const node = document.createElementNS(document.querySelector("svg").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const count = (number, one) => `${number} ${number === 1 ? one : one + "s"}`;
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const shownValue = (value) => (value === "" ? '""' : String(value));
/* Long paths break behind their slashes. */
const breakable = (key) => key.split(/(?<=[/.])/).flatMap((part) => [part, make("wbr")]);

function face(field, entry) {
  return SHORT[entry.name] || (field === "gpu" ? entry.name.toUpperCase() : entry.title);
}

/* "H100 · EKS · Ubuntu 24.04 · Training" */
function nameOf(choice) {
  const parts = ["gpu", "service", "os", "intent", "platform", "machine"].map((field) => {
    const entry = (catalog[field] || []).find((each) => each.name === choice[field]);
    const name = entry ? face(field, entry) : choice[field];
    return name && [name, field === "os" && choice.osv, field === "service" && choice.k8s].filter(Boolean).join(" ");
  });
  if (choice.osv && !choice.os) parts.push(`OS ${choice.osv}`);
  if (choice.k8s && !choice.service) parts.push(`Kubernetes ${choice.k8s}`);
  if (choice.kernel) parts.push(`kernel ${choice.kernel}`);
  return parts.filter(Boolean).join(" · ") || "Any GPU node";
}

function card(title, aside, ...children) {
  const note = typeof aside === "string" ? make("span", { class: "quiet" }, aside) : aside;
  return make("section", { class: "card", "aria-label": title }, make("header", {}, make("h3", {}, title), note), ...children);
}

const isWeb = (url) => /^https?:[/][/]/i.test(url || "");

/* A link only where it leads to the web: own recipe data may hold anything. */
function outside(url, attributes, ...children) {
  return isWeb(url) ? make("a", { href: url, rel: "noreferrer", target: "_blank", ...attributes }, ...children) : make("span", attributes, ...children);
}

/* Sources by number, in the order in which they are first cited. */
class Bibliography {
  constructor() { this.numbers = new Map(); }

  number(citation) {
    if (!this.numbers.has(citation)) this.numbers.set(citation, this.numbers.size + 1);
    return this.numbers.get(citation);
  }

  /* Number the sources of all lines, also of those that a filter hides. */
  register(groups, ...citations) {
    for (const group of groups) for (const line of group.lines) for (const each of citations) (each.get(line.path) || []).forEach(this.number, this);
  }

  links(citations) {
    return citations.map((citation) => {
      const number = this.number(citation);
      const hidden = make("span", { class: "hear" }, `: ${citation}`);
      return outside(urls[citation], { class: "cite", title: citation }, String(number), hidden);
    });
  }

  card() {
    const items = [...this.numbers.keys()].map((citation) => make("li", {}, outside(urls[citation], {}, citation)));
    return items.length ? card("Sources", "public documents behind the values", make("ol", { class: "sources" }, ...items)) : null;
  }
}

/* By the path of a line, the citations of the layers that set it. */
function citationsOf(recipe) {
  const steps = (entry) => entry.sources || (entry.layers || []).flatMap((layer) => layer.sources || []);
  return new Map((recipe.explanation || []).map((entry) => [entry.path, [...new Set(steps(entry))]]));
}
