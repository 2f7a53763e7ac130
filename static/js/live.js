// Live parts of a page: polling, swaps that keep what the reader opened, and what is said aloud.
import { clock, localise, tick } from "./clock.js";
import { filterLines, follow, selected, trim } from "./logs.js";
import { showMark, wantsNotes } from "./notifications.js";

const BACK_OFF_SECONDS = [2, 4, 8];
const HIDDEN_SECONDS = 15;
let errorsInRow = 0;
let silentUntil = 0;
let lastAsked = 0;

// ---- polling: nothing while hidden, slower after errors, old data keeps its time
document.addEventListener("htmx:beforeRequest", function (event) {
  if (!event.target.matches("[data-poll]")) return;
  const busy = Date.now() < silentUntil;
  // Who asked to be told is told while looking elsewhere too, but not as fast.
  const away = document.hidden && !(wantsNotes() && Date.now() - lastAsked >= HIDDEN_SECONDS * 1000);
  if (away || busy) event.preventDefault();
  else lastAsked = Date.now();
});
function setAge(old, date) {
  const mark = document.getElementById("as-of");
  if (!mark) return;
  mark.dataset.old = old ? "true" : "false";
  if (date) mark.querySelector("[data-clock]").textContent = clock(date);
  mark.querySelector("[data-words]").textContent = old ? "No connection. Data as of" : "Live, as of";
}
document.addEventListener("htmx:afterRequest", function (event) {
  if (!event.target.matches("[data-poll]")) return;
  if (event.detail.successful) {
    errorsInRow = 0;
    silentUntil = 0;
    setAge(false, new Date());
    if (event.detail.xhr.status === 286) {
      const mark = document.getElementById("as-of");
      if (mark) mark.querySelector("[data-words]").textContent = "Ended, as of";
      event.target.removeAttribute("data-poll"); // from now on alive.js asks, rarely
    }
    return;
  }
  silentUntil = Date.now() + 1000 * BACK_OFF_SECONDS[Math.min(errorsInRow, BACK_OFF_SECONDS.length - 1)];
  errorsInRow += 1;
  setAge(true, null);
});
function askNow() {
  if (document.hidden) return;
  silentUntil = 0;
  document.querySelectorAll("[data-poll]").forEach((element) => window.htmx && window.htmx.trigger(element, "ce:now"));
}
document.addEventListener("visibilitychange", askNow);
window.addEventListener("online", askNow);

// ---- swaps keep what the reader opened
document.addEventListener("click", function (event) {
  const summary = event.target.closest("summary");
  if (summary && summary.parentElement.id) summary.parentElement.dataset.touched = "true";
});
document.addEventListener("htmx:oobBeforeSwap", function (event) {
  const now = event.detail.target;
  const next = event.detail.fragment.firstElementChild;
  if (!next || next.id !== now.id) return; // entries that are added at the end disturb nothing
  if (selected(now)) {
    event.detail.shouldSwap = false;
    held.set(now.id, next);
    return;
  }
  held.delete(now.id);
  keepOpen(now, next);
  remember(now);
});
document.addEventListener("htmx:oobAfterSwap", afterSwap);
document.addEventListener("htmx:afterSwap", afterSwap);
function afterSwap() {
  restore();
  localise(document);
  trim();
  filterLines();
  follow();
  tick();
  showMark();
  say();
}
// The graph and a long timeline, once they are there, follow what the stages say, a little later and not each time.
const DRAWN = { graph: 3000, "timeline-plot": 6000 };
const timers = {};
document.addEventListener("htmx:oobAfterSwap", function () {
  for (const [id, wait] of Object.entries(DRAWN)) {
    const place = document.getElementById(id);
    if (timers[id] || !place || !place.querySelector("svg") || !place.closest("details[open]")) continue;
    timers[id] = setTimeout(function () {
      timers[id] = 0;
      window.htmx.trigger(place, "ce:draw");
    }, wait);
  }
});
let folds = [];
document.addEventListener("htmx:beforeSwap", function (event) {
  const now = event.detail.target;
  if (!DRAWN[now.id]) return;
  remember(now);
  folds = Array.from(now.querySelectorAll("details[id]"), (one) => [one.id, one.open]);
});
document.addEventListener("htmx:afterSwap", function () {
  for (const [id, open] of folds.splice(0)) {
    const one = document.getElementById(id);
    if (one) one.open = open;
  }
});
function keepOpen(now, next) {
  [now, ...now.querySelectorAll("details[id]")].forEach(function (old) {
    if (old.tagName !== "DETAILS" || old.dataset.touched !== "true") return;
    const fresh = old === now ? next : next.querySelector("#" + CSS.escape(old.id));
    if (!fresh) return;
    fresh.open = old.open;
    fresh.dataset.touched = "true";
  });
  now.querySelectorAll("input[type=checkbox][id]").forEach(function (old) { // and what they have chosen
    const fresh = old.checked !== old.defaultChecked && next.querySelector("#" + CSS.escape(old.id));
    if (fresh) fresh.checked = old.checked;
  });
  now.querySelectorAll("textarea[id]").forEach(function (old) { // what somebody has begun to write stays
    const fresh = old.value !== old.defaultValue && next.querySelector("#" + CSS.escape(old.id));
    if (fresh) fresh.value = old.value;
  });
}
// What somebody is selecting waits with its swap until the selection is gone: text that is being copied must not move.
const held = new Map();
document.addEventListener("selectionchange", function () {
  for (const [id, next] of Array.from(held)) {
    const now = document.getElementById(id);
    if (now && selected(now)) continue;
    held.delete(id);
    if (!now) continue;
    keepOpen(now, next);
    now.replaceWith(next);
    window.htmx.process(next);
    tick();
  }
});
// The focus goes to the same control of the new piece, and what was scrolled inside it stays there.
const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
let places = [];
function remember(now) {
  const active = document.activeElement;
  const controls = Array.from(now.querySelectorAll(FOCUSABLE));
  const scrolled = [];
  controls.forEach(function (one, place) {
    if (one.scrollTop || one.scrollLeft) scrolled.push([place, one.scrollTop, one.scrollLeft]);
  });
  const focused = controls.indexOf(active);
  if (focused >= 0 || scrolled.length) places.push({ id: now.id, focused, scrolled, href: active.getAttribute("href") });
}
function restore() {
  for (const place of places.splice(0)) {
    const now = document.getElementById(place.id);
    if (!now) continue;
    const controls = Array.from(now.querySelectorAll(FOCUSABLE));
    for (const [at, top, left] of place.scrolled) {
      if (controls[at]) controls[at].scrollTo(left, top);
    }
    if (place.focused < 0 || (document.activeElement && document.activeElement !== document.body)) continue;
    const same = controls.find((one) => place.href && one.getAttribute("href") === place.href) || controls[place.focused];
    if (same) same.focus({ preventScroll: true });
  }
}

// ---- one live region: what is new on the page is said there, once
export function say() {
  document.querySelectorAll("[data-say]").forEach(function (element) {
    const words = element.textContent.trim();
    const region = document.getElementById("announce");
    if (region && words) region.textContent = words;
    delete element.dataset.say;
  });
}
