// The timeline: one stop of the Tab key; arrows go from row to row.
const ROWS = ".plot-stage > summary, .plot-name a";

function rove(root) {
  root.querySelectorAll(".plot").forEach(function (plot) {
    const rows = Array.from(plot.querySelectorAll(ROWS));
    const here = Math.max(0, rows.indexOf(document.activeElement));
    rows.forEach((row, place) => row.setAttribute("tabindex", place === here ? "0" : "-1"));
  });
}
document.addEventListener("keydown", function (event) {
  const plot = event.target.closest && event.target.matches(ROWS) && event.target.closest(".plot");
  if (!plot || !["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
  event.preventDefault();
  const rows = Array.from(plot.querySelectorAll(ROWS)).filter((row) => row.checkVisibility());
  const here = rows.indexOf(event.target);
  const next = rows[{ ArrowUp: here - 1, ArrowDown: here + 1, Home: 0, End: rows.length - 1 }[event.key]];
  if (next) next.focus();
});
document.addEventListener("focusin", function (event) { // the row that had the focus is where Tab comes back to
  const plot = event.target.closest && event.target.matches(ROWS) && event.target.closest(".plot");
  if (!plot) return;
  plot.querySelectorAll("[tabindex='0']").forEach((row) => row.setAttribute("tabindex", "-1"));
  event.target.setAttribute("tabindex", "0");
});
rove(document);
for (const swapped of ["htmx:afterSwap", "htmx:oobAfterSwap"]) document.addEventListener(swapped, () => rove(document));
