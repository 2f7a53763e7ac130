// The dialog of Ctrl K: go to anything by its name, or do what the page offers. The server finds; the focus stays in the field.
const dialog = document.getElementById("palette");
const field = document.getElementById("palette-text");
const list = document.getElementById("palette-found");
let answered = null; // the text that the list is of
let waits = false; // Enter was pressed before the list of the text had come

function options() {
  return Array.from(list.querySelectorAll("[role=option]"));
}
function choose(option) {
  options().forEach((one) => one.setAttribute("aria-selected", String(one === option)));
  if (option) {
    field.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  } else field.removeAttribute("aria-activedescendant");
}
// What the page offers: its buttons and links, by their words. They are pressed as they stand there, with what they ask first.
function actions(text) {
  const seen = new Set();
  const offered = Array.from(document.querySelectorAll("main .verbs :is(a, button), main nav.tabs a, .pop :is(a, button)"));
  return offered.filter(function (one) {
    const words = one.textContent.trim().replace(/\s+/g, " ");
    const fits = words && !one.disabled && !seen.has(words) && (text ? words.toLowerCase().includes(text) : one.closest(".verbs"));
    if (fits) seen.add(words);
    return fits;
  });
}
function offer(event) {
  answered = new URL(event.detail.pathInfo.finalRequestPath, window.location.href).searchParams.get("q") || "";
  const text = field.value.trim().toLowerCase();
  actions(text).slice(0, 8).reverse().forEach(function (one, place) {
    const option = document.createElement("button");
    for (const [name, value] of Object.entries({ type: "button", role: "option", id: `found-here-${place}`, tabindex: "-1", class: "found" }))
      option.setAttribute(name, value);
    for (const [name, words] of [["kind", "Here"], ["name", one.textContent.trim().replace(/\s+/g, " ")], ["beside", ""]]) {
      const part = document.createElement("span");
      part.className = `found-${name}`;
      part.textContent = words;
      option.append(part);
    }
    option.addEventListener("click", function () {
      dialog.close();
      one.click();
    });
    list.prepend(option);
  });
  if (!options().length) list.textContent = list.dataset.nothing;
  choose(text ? options()[0] : null); // without a word nothing is meant
  if (waits) go();
}
function go() {
  waits = field.value !== answered;
  const chosen = !waits && list.querySelector("[aria-selected=true]");
  if (chosen) chosen.click();
}
function open() {
  field.value = "";
  waits = false;
  answered = null;
  dialog.showModal();
  field.focus();
  if (window.htmx) window.htmx.trigger(field, "ce:open");
}
document.addEventListener("keydown", function (event) {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (dialog.open) dialog.close();
  else if (!document.querySelector("dialog[open]")) open();
});
document.addEventListener("click", (event) => event.target.closest && event.target.closest("[data-palette]") && open());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
list.addEventListener("htmx:afterSwap", offer);
field.addEventListener("keydown", function (event) {
  const all = options();
  const at = all.findIndex((one) => one.getAttribute("aria-selected") === "true");
  const next = { ArrowDown: at + 1, ArrowUp: Math.max(at, 0) - 1 + all.length }[event.key];
  if (next !== undefined && all.length) choose(all[next % all.length]);
  else if (event.key === "Escape") dialog.close(); // a field of type search would only empty itself
  else if (event.key === "Enter") go();
  else return;
  event.preventDefault();
});
