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
    if (list.dataset.before) return fromHere(list);
    const first = list.firstElementChild.id.slice(1);
    const earlier = document.getElementById("log-earlier");
    if (first && earlier) earlier.href = "?start=" + Math.max(1, Number(first) - 500);
  });
}
// What is earlier than the first entry that is left: the button asks from there.
function fromHere(list) {
  const field = document.getElementById(list.dataset.before);
  const first = list.querySelector("[id^='entry-']");
  if (field && first) field.value = first.id.slice("entry-".length);
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
  const link = event.target.closest(".log a.ln");
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

// An address that ends in #entry-123 leads to that entry, also when it is in another window.
export function showEntry() {
  const list = document.getElementById("entries");
  const wanted = /^#entry-(\d+)$/.exec(location.hash);
  if (!list || !wanted) return;
  const entry = document.getElementById(wanted[0].slice(1));
  const address = new URL(location.href);
  if (entry) {
    const follows = document.getElementById("follow");
    if (follows) follows.checked = false;
    entry.querySelectorAll("details").forEach((one) => { one.open = true; });
    entry.scrollIntoView({ block: "center" });
  } else if (address.searchParams.get("entry") !== wanted[1]) {
    for (const name of ["before", "behind", "kind", "q"]) address.searchParams.delete(name);
    address.searchParams.set("entry", wanted[1]);
    location.replace(address);
  }
}
window.addEventListener("hashchange", showEntry);

document.addEventListener("click", function (event) {
  const link = event.target.closest(".diff-list a, .file-tree a");
  const file = link && document.getElementById(link.hash.slice(1));
  if (file) file.open = true;
});

// A line's number in a diff fills the form for comments.
document.addEventListener("click", function (event) {
  const form = document.getElementById("comment-form");
  const cell = event.target.closest(".code-diff td.at");
  const file = cell && cell.closest("details.diff");
  if (!form || !file || !cell.textContent) return;
  const cells = Array.from(cell.parentElement.querySelectorAll("td.at"));
  const newer = cells[cells.length - 1];
  const removed = !newer.textContent || (cell !== newer && cell.classList.contains("del"));
  name(file, (removed ? cell : newer).textContent, removed);
  form.elements.text.focus();
});
function name(file, line, removed) {
  const fields = document.getElementById("comment-form").elements;
  if (fields.attempt && file.dataset.attempt) fields.attempt.value = file.dataset.attempt;
  fields.file.value = file.dataset.file;
  fields.line.value = line;
  fields.removed.value = removed ? "1" : "";
}

// Reviewing by key: the file that has the focus, else the first that can be seen.
export function reviewed(key) {
  const all = Array.from(document.querySelectorAll("details.diff"));
  const one = document.activeElement.closest(".diff-one");
  const file = one ? one.querySelector("details.diff") : all.find((one) => one.getBoundingClientRect().bottom > 120);
  if (!file) return false;
  if (key === "v") {
    const button = file.parentElement.querySelector("button[data-viewed]");
    if (button) button.click();
    return Boolean(button);
  }
  if (!document.getElementById("comment-form")) return false;
  name(file, "", false);
  document.getElementById("comment-line").focus();
  return true;
}
// A file that was viewed closes, and the next one that was not has the focus.
document.addEventListener("click", function (event) {
  const button = event.target.closest("button[data-viewed]");
  if (!button || !window.htmx) return;
  event.preventDefault();
  const viewed = button.getAttribute("aria-pressed") !== "true";
  const file = button.nextElementSibling;
  const values = { mark: button.value.split(" ")[0] + (viewed ? "" : " not") };
  window.htmx.ajax("POST", button.formAction, { source: button.form, target: button.form, swap: "none", values: values }).then(function () {
    button.setAttribute("aria-pressed", String(viewed));
    button.value = button.value.split(" ")[0] + (viewed ? " not" : "");
    file.open = !viewed;
    document.querySelector(`.file-tree a[href="#${file.id}"]`).toggleAttribute("data-viewed", viewed);
    const marks = Array.from(document.querySelectorAll("button[data-viewed]"));
    document.getElementById("viewed-count").textContent = marks.filter((one) => one.getAttribute("aria-pressed") === "true").length;
    const next = viewed && marks.slice(marks.indexOf(button) + 1).find((one) => one.getAttribute("aria-pressed") !== "true");
    const focused = (next ? next.nextElementSibling : file).querySelector("summary");
    focused.focus({ preventScroll: true });
    focused.scrollIntoView({ block: "nearest" });
  });
});

export function selected(element) {
  const selection = document.getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(element));
}
