// Every page: menus, buttons, theme, print, and the start of the other modules. Without it pages work with links and forms.
import { look } from "./alive.js";
import { localise, nameZone, skew, tick } from "./clock.js";
import { rove } from "./graph.js";
import { say } from "./live.js";
import { follow, showEntry, showLine } from "./logs.js";
import { notifyButton, showMark } from "./notifications.js";

const root = document.documentElement;
root.classList.add("js");

// ---- buttons: one form, many verbs; the page stays where it is
document.addEventListener("submit", function (event) {
  const form = event.target;
  const button = event.submitter;
  if (!window.htmx || !form.matches("[data-verbs]") || !button) return;
  event.preventDefault();
  button.disabled = true;
  document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
  const headers = document.getElementById("poller") ? { "CE-Stay": "1" } : {}; // it brings what changed, and nothing closes
  const values = {};
  if (button.name) values[button.name] = button.value;
  window.htmx.ajax("POST", button.formAction, { source: form, target: form, swap: "none", values: values, headers: headers })
    .finally(() => { button.disabled = false; });
});
document.addEventListener("click", function (event) {
  document.querySelectorAll("details.menu[open]").forEach((menu) => menu.contains(event.target) || menu.removeAttribute("open"));
});
document.addEventListener("keydown", function (event) {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach(function (menu) {
    menu.removeAttribute("open");
    menu.querySelector("summary").focus();
  });
});

// ---- a menu that opens with something to write in takes the focus there
document.addEventListener("toggle", function (event) {
  const field = event.target.open && event.target.matches("details.menu") && event.target.querySelector(".pop textarea");
  if (field) field.focus();
}, true);

// ---- filters that are chosen apply at once; without this file the button beside them sends them
document.addEventListener("change", (event) => event.target.matches("[data-go]") && event.target.form.requestSubmit());

// ---- rows that are chosen in a list, for one verb over all of them
document.addEventListener("change", function (event) {
  const form = event.target.form;
  if (!form || form.id !== "chosen") return;
  const all = document.getElementById("choose-all");
  const rows = Array.from(form.elements).filter((one) => one.name === "batch");
  if (event.target === all) rows.forEach((one) => { one.checked = all.checked; });
  const count = rows.filter((one) => one.checked).length;
  all.checked = count === rows.length;
  all.indeterminate = count > 0 && !all.checked;
  document.getElementById("chosen-count").textContent = count + " chosen";
});

// ---- settings: only the fields whose words hold what is typed
document.addEventListener("input", function (event) {
  if (!event.target.matches("[data-find-field]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  document.querySelectorAll("main fieldset").forEach(function (group) {
    let shown = 0;
    group.querySelectorAll(".field").forEach(function (field) {
      field.hidden = !(group.querySelector("legend").textContent + field.textContent).toLowerCase().includes(wanted);
      shown += field.hidden ? 0 : 1;
    });
    group.hidden = !shown;
  });
});

// ---- the account: the zone of a form that nobody has saved yet is the browser's
document.querySelectorAll("[data-own-zone]").forEach((field) => { field.value = Intl.DateTimeFormat().resolvedOptions().timeZone || field.value; });

// ---- theme
document.addEventListener("submit", function (event) {
  if (!event.target.matches("[data-theme-form]")) return;
  event.preventDefault();
  const next = event.submitter.value;
  if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
  document.cookie = "theme=" + next + ";path=/;max-age=31536000;samesite=lax";
  event.target.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(one === event.submitter)));
});

// ---- on paper everything that is folded is open
window.addEventListener("beforeprint", function () {
  document.querySelectorAll("main details:not([open], .menu)").forEach(function (one) {
    one.open = true;
    one.dataset.printed = "true";
  });
});
window.addEventListener("afterprint", function () {
  document.querySelectorAll("[data-printed]").forEach(function (one) {
    one.open = false;
    delete one.dataset.printed;
  });
});

document.addEventListener("DOMContentLoaded", function () {
  rove(document);
  skew();
  localise(document);
  nameZone();
  tick();
  follow();
  showLine();
  showEntry();
  showMark();
  notifyButton();
  window.addEventListener("pageshow", (event) => event.persisted && look(true));
  setTimeout(say, 100); // a region speaks of what changes in it, not of what it begins with
  setInterval(tick, 1000);
});
