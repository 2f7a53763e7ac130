// Ages and countdowns tick in the browser; the server says only when something happened.
const root = document.documentElement;

export function clock(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}
function words(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + String(s % 60).padStart(2, "0") + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + String(Math.floor((s % 3600) / 60)).padStart(2, "0") + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}
export function tick() {
  const skew = Number(root.dataset.skew || 0);
  const now = Date.now() + skew;
  document.querySelectorAll("time[data-age]").forEach(function (element) {
    const past = (now - Date.parse(element.dateTime)) / 1000;
    const seconds = element.dataset.age === "until" ? -past : past;
    element.textContent = words(seconds) + (element.dataset.age === "ago" ? " ago" : "");
    const limit = Number(element.dataset.limit || 0);
    if (limit) element.classList.toggle("late", seconds > limit / 2);
  });
}
export function skew() {
  // The server's clock at render against ours: ages are right on a machine whose clock is not.
  const stamp = document.querySelector("meta[name='ce-now']");
  if (stamp) root.dataset.skew = String(Date.parse(stamp.content) - Date.now());
}
