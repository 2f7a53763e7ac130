// Plots: what a mark says, beside it while it is pointed at or in focus; the arrow keys go from mark to mark. The plots
// themselves are the server's; without this file the browser shows the same words after a moment.
const tip = document.createElement("p");
tip.className = "chart-tip";
tip.setAttribute("aria-hidden", "true");
tip.hidden = true;
document.body.append(tip);

function told(mark) {
  const title = mark.querySelector("title");
  if (title) { // else the browser shows it a second time
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  return mark.getAttribute("aria-label");
}
function show(event) {
  const mark = event.target.closest(".chart .mark");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = told(mark);
  const box = (mark.querySelector("rect, circle") || mark).getBoundingClientRect();
  const most = document.documentElement.clientWidth - tip.offsetWidth - 8;
  const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), most);
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = left + window.scrollX + "px";
  tip.style.top = (above < 60 ? box.bottom + 8 : above) + window.scrollY + "px";
}
document.addEventListener("pointerover", show);
document.addEventListener("focusin", show);

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
document.addEventListener("keydown", function (event) {
  const mark = event.target.closest(".chart a.mark");
  if (event.key === "Escape") tip.hidden = true;
  if (!mark || !(event.key in STEPS || event.key === "Home" || event.key === "End")) return;
  event.preventDefault();
  const marks = Array.from(mark.closest(".chart").querySelectorAll("a.mark"));
  const at = { Home: 0, End: marks.length - 1 }[event.key] ?? marks.indexOf(mark) + STEPS[event.key];
  const next = marks[Math.min(Math.max(at, 0), marks.length - 1)];
  mark.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
});
