// Times in the zone of whoever looks; ages and countdowns tick. The server says only when something happened.
const root = document.documentElement;
const two = (number) => String(number).padStart(2, "0");

export function clock(date) {
  return two(date.getHours()) + ":" + two(date.getMinutes()) + ":" + two(date.getSeconds());
}
function day(date) {
  return date.getFullYear() + "-" + two(date.getMonth() + 1) + "-" + two(date.getDate());
}
const FORMS = {
  "H:i:s": clock,
  "Y-m-d H:i": (date) => day(date) + " " + two(date.getHours()) + ":" + two(date.getMinutes()),
  "Y-m-d H:i:s": (date) => day(date) + " " + clock(date),
};
function words(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + two(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + two(Math.floor((s % 3600) / 60)) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}
function ago(seconds, date) { // batches/core/text/words.py says the same
  const s = Math.max(0, seconds);
  for (const [unit, name, limit] of [[1, "s", 60], [60, "min", 3600], [3600, "h", 86400], [86400, "d", 7 * 86400]]) {
    if (s < limit) return Math.floor(s / unit) + " " + name + " ago";
  }
  return FORMS["Y-m-d H:i"](date);
}
export function tick() {
  const now = Date.now() + Number(root.dataset.skew || 0);
  document.querySelectorAll("time[data-age]").forEach(function (element) {
    const past = (now - Date.parse(element.dateTime)) / 1000;
    const seconds = element.dataset.age === "until" ? -past : past;
    const text = element.dataset.age === "when" ? ago(past, new Date(element.dateTime))
      : words(seconds) + (element.dataset.age === "ago" ? " ago" : "");
    if (element.textContent !== text) element.textContent = text;
    const limit = Number(element.dataset.limit || 0);
    if (limit) element.classList.toggle("late", seconds > limit / 2);
  });
}
// The server writes its own zone, for those without JavaScript; here each time gets the zone of whoever looks, once.
export function localise(scope) {
  scope.querySelectorAll("time[data-form]").forEach(function (element) {
    const date = new Date(element.dateTime);
    if (FORMS[element.dataset.form] && !isNaN(date)) element.textContent = FORMS[element.dataset.form](date);
    delete element.dataset.form;
  });
}
function zone(date) {
  const found = new Intl.DateTimeFormat("en", { timeZoneName: "longOffset" }).formatToParts(date).find((part) => part.type === "timeZoneName");
  return found ? found.value.replace("GMT", "UTC") : "";
}
export function nameZone() {
  const place = document.getElementById("zone");
  if (!place) return;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone";
  const offset = zone(new Date());
  place.textContent = offset && name !== "UTC" ? name + " (" + offset + ")" : name;
}
// The exact time of an age is its title; made when somebody points at it, because a page may have thousands.
function title(event) {
  const element = event.target.closest && event.target.closest("time[datetime]");
  const date = element && new Date(element.dateTime);
  if (date && !isNaN(date)) element.title = FORMS["Y-m-d H:i:s"](date) + " " + zone(date);
}
document.addEventListener("pointerover", title);

export function skew() {
  // The server's clock at render against ours: ages are right on a machine whose clock is not.
  const stamp = document.querySelector("meta[name='ce-now']");
  if (stamp) root.dataset.skew = String(Date.parse(stamp.content) - Date.now());
}
