// What the tab says of the batch, and notifications for those who asked for them.
const root = document.documentElement;

let shownMark = null;
export function showMark() {
  const mark = document.getElementById("mark");
  if (!mark) return;
  const now = Object.assign({}, mark.dataset);
  if (shownMark && shownMark.title === now.title && shownMark.look === now.look && shownMark.live === now.live) return;
  document.title = now.title + " · CE Web";
  const icon = document.getElementById("icon");
  const colour = getComputedStyle(root).getPropertyValue("--" + now.look + "-bar").trim();
  const drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="' + resolved(colour) +
    '"/><g fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round">' +
    '<path d="M7 12h3M14 7.5h3M14 16.5h3M10 12c2.5 0 1.5-4.5 4-4.5M10 12c2.5 0 1.5 4.5 4 4.5"/></g></svg>';
  if (icon) icon.href = "data:image/svg+xml," + encodeURIComponent(drawing);
  if (shownMark) tell(shownMark, now);
  shownMark = now;
}
function resolved(colour) {
  const probe = document.createElement("span");
  probe.style.color = colour; // a property set by script, not a style attribute of the page
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
export function wantsNotes() {
  return "Notification" in window && Notification.permission === "granted" && localStorage.getItem("ce-notify") === "yes";
}
function tell(before, now) {
  const ended = before.live === "true" && now.live !== "true";
  const needed = Number(now.attention) > Number(before.attention);
  if ((!ended && !needed) || !wantsNotes() || (!document.hidden && document.hasFocus())) return;
  const note = new Notification(now.title, { body: now.words, tag: location.pathname });
  note.addEventListener("click", () => window.focus());
}
export function notifyButton() {
  const button = document.querySelector("[data-notify]");
  if (!button || !("Notification" in window) || !window.isSecureContext) return;
  const show = function () {
    button.hidden = false;
    button.setAttribute("aria-pressed", String(wantsNotes()));
    button.textContent = Notification.permission === "denied" ? "Notifications are blocked" : wantsNotes() ? "Notifications on" : "Notify me";
    button.disabled = Notification.permission === "denied";
  };
  button.addEventListener("click", function () {
    if (wantsNotes()) {
      localStorage.setItem("ce-notify", "no");
      show();
      return;
    }
    Notification.requestPermission().then(function (answer) {
      localStorage.setItem("ce-notify", answer === "granted" ? "yes" : "no");
      show();
    });
  });
  show();
}
