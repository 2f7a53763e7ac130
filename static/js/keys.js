// Keys: everything they do can be done by pointer and Tab key as well; the list is in the dialog that "?" opens.
import { reviewed } from "./logs.js";

const ROWS = "main tbody tr, main .phase, main .rows > li, main .attention li, main details.stage > summary, main .diff > summary, main .plot-row:has(a)";
const PLACES = { b: "/batches/", l: "/plans/", p: "/projects/", m: "/metrics/", h: "/health/" };
let going = 0; // until when a letter after "g" counts

function writing(element) {
  return element.isContentEditable || element.matches("input:not([type=checkbox], [type=radio]), textarea, select");
}
function handle(row) {
  return row.matches("summary") ? row : row.querySelector("a.lead, a.phase-title, a, button, summary");
}
function rows() {
  return Array.from(document.querySelectorAll(ROWS)).filter((row) => row.checkVisibility() && handle(row));
}
function move(step) {
  const all = rows();
  if (!all.length) return;
  const here = all.findIndex((row) => row.contains(document.activeElement));
  // From elsewhere: the first row that can be seen.
  const seen = all.findIndex((row) => row.getBoundingClientRect().top > 60);
  const next = here >= 0 ? here + step : Math.max(0, seen);
  const row = all[Math.min(all.length - 1, Math.max(0, next))];
  handle(row).focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}
function press(key) {
  if (going > Date.now() && PLACES[key]) {
    const link = document.querySelector(`.nav a[href="${PLACES[key]}"]`);
    if (link) link.click();
    return true;
  }
  going = key === "g" ? Date.now() + 1500 : 0;
  if (key === "/") {
    const field = Array.from(document.querySelectorAll("main input[type=search]")).find((one) => one.checkVisibility());
    if (!field) return false;
    field.focus();
    field.select();
    return true;
  }
  if (key === "j" || key === "k") {
    move(key === "j" ? 1 : -1);
    return true;
  }
  if (key === "?") {
    document.getElementById("keys").showModal();
    return true;
  }
  if (key === "f") {
    const toggle = document.getElementById("follow");
    if (toggle) toggle.click();
    return Boolean(toggle);
  }
  if ((key === "v" || key === "c") && reviewed(key)) return true;
  const link = document.querySelector(`a[data-key="${CSS.escape(key)}"]`);
  if (link) link.click();
  return Boolean(link);
}
document.addEventListener("keydown", function (event) {
  if (event.key === "Escape" && writing(event.target) && !event.defaultPrevented) event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || writing(event.target)) return;
  if (document.querySelector("dialog[open]") || event.key.length !== 1) return;
  if (press(event.key)) event.preventDefault();
});
