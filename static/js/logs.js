// Logs: follow the end, drop what is old, copy, filter, name a line.
export function follow() {
  document.querySelectorAll("[data-follow]").forEach(function (box) {
    const toggle = document.getElementById(box.dataset.follow);
    if (toggle && toggle.checked && !selected(box)) box.scrollTop = box.scrollHeight;
  });
}
document.addEventListener("change", (event) => event.target.matches(".follow") && follow());
document.addEventListener("scroll", function (event) {
  const box = event.target;
  if (!box.matches || !box.matches("[data-follow]")) return;
  const toggle = document.getElementById(box.dataset.follow);
  // Scrolling up stops following; coming back to the end goes on.
  if (toggle) toggle.checked = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
}, true);
export function trim() {
  document.querySelectorAll("ol[data-limit]").forEach(function (list) {
    let over = list.children.length - Number(list.dataset.limit);
    const empty = list.querySelector(".log-empty");
    if (empty && list.children.length > 1) empty.remove();
    if (over <= 0 || selected(list)) return;
    while (over-- > 0) list.firstElementChild.remove();
    const first = list.firstElementChild.id.slice(1);
    const earlier = document.getElementById("log-earlier");
    if (first && earlier) earlier.href = "?start=" + Math.max(1, Number(first) - 500);
  });
}
export function filterLines() {
  document.querySelectorAll("input[data-filter]").forEach(function (field) {
    const words = field.value.trim().toLowerCase();
    document.querySelectorAll(field.dataset.filter + " > li").forEach((line) => {
      line.hidden = Boolean(words) && !line.textContent.toLowerCase().includes(words);
    });
  });
}
document.addEventListener("input", (event) => event.target.matches("[data-filter]") && filterLines());
document.addEventListener("click", function (event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const lines = document.querySelectorAll(button.dataset.copy + " .what");
  const text = Array.from(lines, (line) => line.textContent).join("\n");
  navigator.clipboard.writeText(text).then(
    () => flash(button, "Copied"),
    () => flash(button, "Not allowed")
  );
});
function flash(button, words) {
  if (!button.dataset.words) button.dataset.words = button.textContent;
  button.textContent = words;
  setTimeout(() => { button.textContent = button.dataset.words; }, 1500);
}
document.addEventListener("click", function (event) {
  const link = event.target.closest("a.ln");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const address = new URL(location.href);
  address.searchParams.set("line", link.textContent);
  address.searchParams.delete("start");
  address.hash = "L" + link.textContent;
  history.replaceState(null, "", address);
  lightLine(link.parentElement);
});
function lightLine(line) {
  document.querySelectorAll(".log li.lit").forEach((one) => one.classList.remove("lit"));
  if (line) line.classList.add("lit");
}
export function showLine() {
  const list = document.querySelector("ol[data-line]");
  const line = list && document.getElementById("L" + list.dataset.line);
  if (!line) return;
  lightLine(line);
  const box = line.closest(".log");
  box.scrollTop = line.offsetTop - box.clientHeight / 3;
}

document.addEventListener("click", function (event) {
  const link = event.target.closest(".diff-list a");
  const file = link && document.getElementById(link.hash.slice(1));
  if (file) file.open = true;
});

export function selected(element) {
  const selection = document.getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(element));
}
