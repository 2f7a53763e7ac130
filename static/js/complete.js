// Completion in the plan editor: keys of phases, paths of the repository, commands of the project, labels of fields, and a whole phase.
// A list below the cursor; the arrows choose, Enter or Tab takes, Escape closes. Nothing is chosen until a person asks for it.
const LINE_PIXELS = 20;
const ASK_AFTER_MS = 120;
const MOST = 12;
const LABELS = ["Goal", "Estimated Hours", "Complexity", "Files to create/modify", "Dependencies", "Implementation Steps", "Validation Gates"];
const FILES = /^[\s>*+_-]*(?:Key )?Files(?: to create\/modify| Modified| to create| to modify| created)?[*_]*:[*_]*/i;
const NEEDS = /^[\s>*+_-]*(?:Dependencies|Depends on|Blocked by|Prerequisites)[*_]*:[*_]*/i;
const GATES = /^[\s>*+_#-]*(?:Validation Gates|Gates|Verification|Acceptance Criteria|Success Criteria|Definition of Done)[*_]*:?[*_]*\s*$/i;
const COMPLEXITY = /^[\s>*+_-]*Complexity[*_]*:[*_]*/i;
const HEADING = /^#{1,6}[ \t]+Phase[ \t]+([\w.-]+)[ \t]*[:\u2013\u2014-]?[ \t]*(.*)$/i;
const BULLET = /^\s*[-*+]\s/;

/** What can stand where the cursor is: {kind, typed}, or null. `lines` are those up to the cursor, the last one cut there. */
function placeOf(lines) {
  const line = lines[lines.length - 1];
  const label = NEEDS.exec(line) || FILES.exec(line) || COMPLEXITY.exec(line);
  if (label) {
    const value = line.slice(label[0].length);
    const kind = NEEDS.test(line) ? "phase" : FILES.test(line) ? "path" : "complexity";
    return { kind, typed: /[^,`]*$/.exec(value)[0].trimStart() };
  }
  if (BULLET.test(line)) {
    let above = lines.length - 2;
    while (above >= 0 && (BULLET.test(lines[above]) || /^\s*$/.test(lines[above]) || /^\s{2,}/.test(lines[above]))) above -= 1;
    if (above >= 0 && FILES.test(lines[above])) return { kind: "path", typed: /[^\s`]*$/.exec(line.replace(BULLET, ""))[0] };
    const command = /(?:`|\(checked:\s*)([^`]*)$/.exec(line);
    const inCode = (line.match(/`/g) || []).length % 2 === 1 || /\(checked:[^)]*$/.test(line);
    if (above >= 0 && GATES.test(lines[above]) && inCode && command) return { kind: "command", typed: command[1] };
    return null;
  }
  if (/^(?:#{2,6}[ \t]*(?:p(?:h(?:a(?:se?)?)?)?)?|ph(?:a(?:se?)?)?)$/i.test(line)) return { kind: "snippet", typed: line };
  const word = /^\*{0,2}([A-Za-z][A-Za-z ]*)?$/.exec(line);
  return word && (word[1] || line.startsWith("**")) ? { kind: "label", typed: line } : null;
}

function phasesOf(text) {
  return text.split("\n").map((line) => HEADING.exec(line)).filter(Boolean).map((match) => ({ key: match[1], title: match[2] }));
}

function phaseText(text) {
  const phases = phasesOf(text);
  const last = phases.length ? phases[phases.length - 1].key : "";
  const next = phases.reduce((most, one) => Math.max(most, parseInt(one.key, 10) || 0), 0) + 1;
  return [
    "### Phase " + next + ": [FILL IN: what this phase does]",
    "",
    "**Goal**: [FILL IN: what is true when it is done]",
    "**Estimated Hours**: 1",
    "**Complexity**: low",
    "**Files to create/modify**: [FILL IN: the files or folders]",
    "**Dependencies**: " + (last ? "Phase " + last : "None"),
    "",
    "**Implementation Steps**:",
    "1. [FILL IN: the first step]",
    "",
    "**Validation Gates**:",
    "- [ ] [FILL IN: how it shows, such as a command in back-ticks]",
    "",
  ].join("\n");
}

/** What is offered without asking the server: [{value, note}] that begin with what is typed, or hold it. */
function offered(place, text) {
  const typed = place.typed.toLowerCase();
  if (place.kind === "snippet") return [{ value: phaseText(text), shown: "A new phase", note: "with all its fields" }];
  if (place.kind === "label") {
    const plain = typed.replace(/\*/g, "");
    return LABELS.filter((label) => label.toLowerCase().startsWith(plain)).map((label) => ({ value: "**" + label + "**: ", shown: label, note: "" }));
  }
  if (place.kind === "complexity") {
    return ["low", "medium", "high"]
      .filter((one) => one.startsWith(typed) && one !== typed)
      .map((one) => ({ value: one, shown: one, note: "" }));
  }
  if (place.kind === "phase") {
    const own = place.own;
    return [{ key: "", title: "" }, ...phasesOf(text)]
      .filter((one) => one.key !== own)
      .map((one) => ({ value: one.key ? "Phase " + one.key : "None", shown: one.key ? "Phase " + one.key : "None", note: one.title }))
      .filter((one) => one.value.toLowerCase() !== typed)
      .filter((one) => {
        const begins = ["", "phase "].some((before) => one.value.toLowerCase().startsWith(before + typed));
        return begins || (typed.length > 1 && one.note.toLowerCase().includes(typed));
      });
  }
  return [];
}

document.addEventListener("DOMContentLoaded", function () {
  const box = document.getElementById("editor");
  const text = document.getElementById("id_text");
  const project = document.getElementById("id_project");
  const list = document.getElementById("complete");
  const said = document.getElementById("complete-note");
  const ruler = document.createElement("canvas").getContext("2d");
  let place = null;
  let options = [];
  let active = -1;
  let timer = 0;
  let asked = null;

  function close() {
    clearTimeout(timer);
    if (asked) asked.abort();
    asked = null;
    list.hidden = true;
    list.replaceChildren();
    options = [];
    active = -1;
    text.removeAttribute("aria-activedescendant");
    said.textContent = "";
  }
  function before() { return text.value.slice(0, text.selectionStart).split("\n"); }
  function put() {
    const lines = before();
    const style = getComputedStyle(text);
    ruler.font = style.font;
    const column = ruler.measureText(lines[lines.length - 1].slice(0, lines[lines.length - 1].length - place.typed.length)).width;
    const top = parseFloat(style.paddingTop) + lines.length * LINE_PIXELS - text.scrollTop;
    const left = text.offsetLeft + parseFloat(style.paddingLeft) + column - text.scrollLeft;
    list.style.left = Math.max(4, Math.min(left, box.clientWidth - list.offsetWidth - 4)) + "px";
    const below = box.clientHeight - top;
    list.style.top = (below < list.offsetHeight + 4 && top > list.offsetHeight ? top - LINE_PIXELS - list.offsetHeight : top) + "px";
  }
  function choose(number) {
    active = number;
    Array.from(list.children).forEach((one, at) => one.setAttribute("aria-selected", String(at === number)));
    if (number < 0) { text.removeAttribute("aria-activedescendant"); return; }
    text.setAttribute("aria-activedescendant", list.children[number].id);
    list.children[number].scrollIntoView({ block: "nearest" });
  }
  function show(found, first) {
    options = found.slice(0, MOST);
    if (!options.length) { close(); return; }
    list.replaceChildren(...options.map(function (one, at) {
      const item = document.createElement("li");
      item.id = "complete-" + at;
      item.setAttribute("role", "option");
      item.textContent = one.shown;
      if (one.note) {
        const note = document.createElement("span");
        note.className = "muted";
        note.textContent = " " + one.note;
        item.append(note);
      }
      return item;
    }));
    list.hidden = false;
    choose(first ? 0 : -1);
    put();
    said.textContent = options.length + (options.length === 1 ? " suggestion" : " suggestions") + ". The down arrow chooses, Enter takes it.";
  }
  function ask(first) {
    const wanted = place;
    asked = new AbortController();
    const query = new URLSearchParams({ project: project.value, kind: wanted.kind, typed: wanted.typed });
    fetch(list.dataset.address + "?" + query, { signal: asked.signal, headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : { values: [] }))
      .then(function (answer) {
        if (place !== wanted) return;
        show(answer.values.map((value) => ({ value, shown: value, note: "" })), first);
      })
      .catch(() => place === wanted && close()); // a newer question, or no connection: there is nothing to suggest
  }
  function look(first) {
    close();
    const lines = before();
    place = text.selectionStart === text.selectionEnd ? placeOf(lines) : null;
    const rest = text.value.slice(text.selectionStart).split("\n")[0];
    if (!place || (rest.trim() && !/^[`,)\s]/.test(rest))) { place = null; return; }
    if (place.kind === "path" || place.kind === "command") {
      if (project.value && (first || place.typed || place.kind === "command")) timer = setTimeout(() => ask(first), first ? 0 : ASK_AFTER_MS);
      return;
    }
    const heading = lines.map((line) => HEADING.exec(line)).filter(Boolean).pop();
    place.own = heading ? heading[1] : "";
    show(offered(place, text.value), first);
  }
  function insert(value, from) {
    text.focus();
    text.setSelectionRange(from, text.selectionEnd);
    // Unlike a changed value, this can be undone with the keyboard. Where it is not supported, the value is changed.
    if (!document.execCommand("insertText", false, value)) {
      text.setRangeText(value, from, text.selectionEnd, "end");
      text.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const gap = value.indexOf("[FILL IN:");
    if (gap >= 0) text.setSelectionRange(from + gap, from + value.indexOf("]", gap) + 1);
    if (value.endsWith("/")) look(false);
    else close();
  }
  function take(number) { insert(options[number].value, text.selectionStart - place.typed.length); }

  text.addEventListener("input", () => look(false));
  text.addEventListener("blur", close);
  text.addEventListener("scroll", close);
  text.addEventListener("click", close);
  text.addEventListener("keydown", function (event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      look(true);
    } else if (list.hidden) {
      if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) close(); // a question may be on its way
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose((active + step + options.length + (active < 0 && step < 0 ? 1 : 0)) % options.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) {
      event.preventDefault();
      take(active);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (["Enter", "Tab", "ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) {
      close();
    }
  });
  list.addEventListener("mousedown", function (event) {
    event.preventDefault(); // the cursor stays where it is
    const item = event.target.closest("[role=option]");
    if (item) take(Array.from(list.children).indexOf(item));
  });
  document.getElementById("add-phase").addEventListener("click", function () {
    const end = text.value.length;
    const start = text.value.trim() ? "\n" : "# [FILL IN: the title of the plan]\n\n";
    text.focus();
    text.setSelectionRange(end, end);
    insert((text.value.endsWith("\n") || !text.value ? "" : "\n") + start + phaseText(text.value), end);
    text.scrollTop = Math.max(0, (before().length - 4) * LINE_PIXELS);
  });
});
