
"use strict";
{
  const all = (selector) => [...document.querySelectorAll(selector)];
  const form = document.querySelector("form");
  const search = document.getElementById("search");
  const domain = document.getElementById("domain");
  const node = document.getElementById("node");
  const findings = all("article").map((element) => ({ element, text: element.textContent.toLowerCase() }));
  const filter = () => {
    const marks = new Set(all("input[name=mark]:checked").map((box) => box.value));
    const words = search.value.toLowerCase().split(/\s+/);
    const number = node ? String(node.selectedIndex - 1) : "-1";
    let shown = 0;
    for (const { element, text } of findings) {
      const nodes = (element.dataset.nodes || "").split(" ");
      const fits = marks.has(element.dataset.mark) && (!domain.value || element.dataset.domain === domain.value)
        && words.every((word) => text.includes(word)) && (number === "-1" || nodes.includes(number));
      element.hidden = !fits;
      shown += fits;
    }
    for (const section of all(".section")) section.hidden = !section.querySelector("article:not([hidden])");
    document.getElementById("shown").textContent = `${shown} of ${findings.length} findings`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const section = target && target.closest("details");
    if (section) { section.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const details of all(".section[open] .evidence:not([open])")) { details.open = true; opened.push(details); }
  });
  addEventListener("afterprint", () => { for (const details of opened.splice(0)) details.open = false; });
}
