// Every page lives: it asks now and then, and at once when somebody comes back to it, whether what it shows has changed elsewhere.
// Live pages of a batch have a poll of their own (live.js); this is for all others, and for live pages that have ended.
import { localise, tick } from "./clock.js";
import { rove } from "./graph.js";
import { say } from "./live.js";
import { follow } from "./logs.js";
import { showMark } from "./notifications.js";

const body = document.body;
const main = () => document.getElementById("main");
const EVERY = 1000 * Number(body.dataset.every || 12);
let version = body.dataset.pulse;
let known = main() ? signature(main()) : "";
let last = Date.now();
let asking = false;
let since = Date.parse((document.querySelector("meta[name='ce-now']") || {}).content || 0); // of the last action that was told, by the server's clock

// What a page says, without what differs at each rendering.
function signature(element) {
  const copy = element.cloneNode(true);
  copy.querySelectorAll("[name=csrfmiddlewaretoken], [name=sent], .messages, .asof, #notice, #announce, #live-version, #poller").forEach((one) => one.remove());
  copy.querySelectorAll("time[data-age]").forEach((one) => { one.textContent = ""; one.removeAttribute("title"); });
  return copy.innerHTML;
}
function pollsItself() {
  return Boolean(document.querySelector("[data-poll]"));
}
export async function look(force) {
  if (asking || !version || (document.hidden && !force)) return;
  asking = true;
  last = Date.now();
  try {
    const asked = new URLSearchParams({ v: version, path: location.pathname });
    const answer = await fetch("/pulse/?" + asked, { redirect: "manual", credentials: "same-origin" });
    if (answer.status !== 200) return;
    const news = await answer.json();
    version = news.version;
    showCounts(news);
    if (!pollsItself()) await refresh(news);
  } catch (fault) {
    // No connection: the next look tells.
  } finally {
    asking = false;
  }
}
function showCounts(news) {
  for (const name of ["running", "failed"]) {
    const place = document.getElementById("nav-" + name);
    if (!place) continue;
    place.hidden = !news[name];
    place.querySelector("b").textContent = news[name];
  }
}
async function refresh(news) {
  const poller = document.getElementById("poller");
  if (poller) { // the page of a batch that has ended knows how to bring only what changed
    if (window.htmx) window.htmx.trigger(poller, "ce:now");
    tell(news, false);
    return;
  }
  const answer = await fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
  if (!next) return;
  const signed = signature(next);
  if (signed === known) return;
  if (isBusy()) {
    tell(news, true);
    return;
  }
  known = signed;
  replace(next);
  tell(news, false);
}
// Somebody writes, chooses or selects here: what they do is not taken away.
function isBusy() {
  const active = document.activeElement;
  if (body.dataset.still || document.querySelector("dialog[open], details.menu[open], [data-chart]")) return true;
  if (active && main().contains(active) && active.matches("input, textarea, select")) return true;
  const selection = getSelection();
  if (selection && !selection.isCollapsed && main().contains(selection.anchorNode)) return true;
  return Array.from(main().querySelectorAll("input, textarea, select")).some(function (one) {
    if (one.type === "hidden" || one.type === "search") return false;
    if (one.type === "checkbox" || one.type === "radio") return one.checked !== one.defaultChecked;
    if (one.tagName === "SELECT") return Array.from(one.options).some((option) => option.defaultSelected && !option.selected);
    return one.value !== one.defaultValue;
  });
}
function replace(next) {
  const now = main();
  const opened = Array.from(now.querySelectorAll("details"));
  const fresh = Array.from(next.querySelectorAll("details"));
  fresh.forEach(function (one, place) {
    const old = one.id ? now.querySelector("#" + CSS.escape(one.id)) : opened.length === fresh.length ? opened[place] : null;
    if (old && old.open !== one.open) one.open = old.open;
  });
  const active = document.activeElement;
  const href = active && now.contains(active) ? active.getAttribute("href") : null;
  const id = active && now.contains(active) ? active.id : "";
  const notice = document.getElementById("notice");
  now.replaceChildren(...next.childNodes);
  if (notice && notice.children.length) document.getElementById("notice").replaceWith(notice);
  if (window.htmx) window.htmx.process(now);
  localise(document);
  tick();
  rove(now);
  follow();
  showMark();
  say();
  const same = (id && document.getElementById(id)) || (href && now.querySelector('a[href="' + CSS.escape(href) + '"]'));
  if (same) same.focus({ preventScroll: true });
}
// Who did it elsewhere, and, where something would be lost, a button instead of the swap.
function tell(news, waits) {
  const place = document.getElementById("notice");
  const others = news.who && news.who !== body.dataset.user && Date.parse(news.at) > since;
  if (news.at) since = Math.max(since, Date.parse(news.at));
  if (!place || (!others && !waits)) return;
  const note = document.createElement("div");
  note.className = "note";
  note.dataset.state = "running";
  const icon = document.createElement("span");
  icon.className = "note-icon";
  icon.setAttribute("aria-hidden", "true");
  icon.textContent = "↻";
  const text = document.createElement("span");
  if (others) {
    const at = document.createElement("time");
    at.dateTime = news.at;
    at.dataset.age = "when";
    text.append(news.what + " by " + news.who + ", ", at, ". ");
  }
  if (waits) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-s";
    button.textContent = "Show";
    button.addEventListener("click", () => location.reload());
    text.append("What this page shows has changed. ", button);
  }
  note.append(icon, text);
  place.replaceChildren(note);
  place.dataset.say = "";
  tick();
  say();
}
function back() {
  if (Date.now() - last > 1000) look(false);
}
document.addEventListener("visibilitychange", () => document.hidden || back());
window.addEventListener("focus", back);
window.addEventListener("online", () => look(true));
document.addEventListener("ce:acted", function () {
  const poller = document.getElementById("poller");
  if (poller && window.htmx) window.htmx.trigger(poller, "ce:now");
});
setInterval(function () {
  if (!document.hidden && Date.now() - last >= EVERY && !pollsItself()) look(false);
}, Math.min(1000, EVERY));
