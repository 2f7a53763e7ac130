// Hints for new people, one after the other; each points at what it speaks of. Closing them is a form, and for ever.
const tour = document.getElementById("tour");
const hints = tour ? Array.from(tour.querySelectorAll("li")) : [];
let place = 0;

function point(at) {
  document.querySelectorAll(".pointed-at").forEach((one) => one.classList.remove("pointed-at"));
  const found = at && document.querySelector(at);
  if (found) found.classList.add("pointed-at");
}
function show() {
  hints.forEach((hint, number) => { hint.hidden = number !== place; });
  tour.querySelector("[data-tour-place]").textContent = `${place + 1} of ${hints.length}`;
  tour.querySelector("[data-tour-next]").hidden = place === hints.length - 1;
  point(hints[place].dataset.pointsAt);
}
if (tour) {
  tour.hidden = false;
  tour.querySelector("[data-tour-next]").addEventListener("click", function () {
    place += 1;
    show();
    if (place === hints.length - 1) tour.querySelector("form button").focus();
  });
  tour.querySelector("form").addEventListener("submit", () => point(""));
  show();
}
