// The plan editor: line numbers, links that select their line, dropped files, and a draft that survives a reload.
const LINE_PIXELS = 20;
const DRAFT_AFTER_MS = 300;
document.addEventListener("DOMContentLoaded", function () {
  const box = document.getElementById("editor");
  const text = document.getElementById("id_text");
  const form = document.getElementById("plan-form");
  const files = document.getElementById("id_file");
  const fileName = document.getElementById("id_file_name");
  const preview = document.getElementById("preview");
  const gutter = box.querySelector(".gutter");
  const note = document.getElementById("draft-note");
  const KEY = form.dataset.draft;
  const start = text.value;
  let shown = 0;

  // ---- lines ----------------------------------------------------------------------------------------------
  function lines() { return text.value.split("\n"); }
  function number() {
    const count = lines().length;
    if (count !== shown) {
      gutter.textContent = Array.from({ length: count }, (_, i) => i + 1).join("\n");
      shown = count;
    }
    gutter.scrollTop = text.scrollTop;
    scrollBands();
  }
  // ---- lines that are read as nothing: dimmed, and the reason below where the cursor stands in one ------------
  const bands = box.querySelector(".unread-bands");
  const unreadNote = document.getElementById("unread-note");
  let unread = [];
  function scrollBands() {
    for (const band of bands.children) band.style.transform = "translateY(" + -text.scrollTop + "px)";
  }
  function dim() {
    const found = document.getElementById("unread-box");
    unread = found && found.dataset.unread ? JSON.parse(found.dataset.unread) : [];
    const top = parseFloat(getComputedStyle(text).paddingTop);
    bands.replaceChildren(...unread.map(function ([first, last]) {
      const band = document.createElement("i");
      band.style.top = top + (first - 1) * LINE_PIXELS + "px";
      band.style.height = (last - first + 1) * LINE_PIXELS + "px";
      return band;
    }));
    scrollBands();
    explain();
  }
  function explain() {
    const line = text.value.slice(0, text.selectionStart).split("\n").length;
    const piece = document.activeElement === text && unread.find(([first, last]) => first <= line && line <= last);
    unreadNote.textContent = piece ? "Line " + line + " is not read. " + piece[2] : "";
  }
  function select(line) {
    const all = lines();
    let from = 0;
    for (let i = 0; i < line - 1 && i < all.length; i += 1) from += all[i].length + 1;
    text.focus();
    text.setSelectionRange(from, from + (all[line - 1] || "").length);
    text.scrollTop = Math.max(0, (line - 8) * LINE_PIXELS);
    text.scrollLeft = 0;
    gutter.scrollTop = text.scrollTop;
    box.scrollIntoView({ block: "nearest" });
  }
  function changed() {
    number();
    window.htmx.trigger(text, "ce:changed");
  }
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; scrollBands(); });
  document.addEventListener("selectionchange", explain);
  document.addEventListener("click", function (event) {
    const link = event.target.closest("[data-line], .graph a[href^='#L']");
    if (!link) return;
    event.preventDefault();
    select(Number(link.dataset.line || link.getAttribute("href").slice(2)));
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "F6") return;
    event.preventDefault();
    (preview.contains(document.activeElement) ? text : preview).focus();
  });

  // ---- the draft: kept in this browser for this person and plan, offered and never forced --------------------
  let timer = 0;
  function decisions() {
    const found = {};
    form.querySelectorAll("[name^='decision-']").forEach(function (field) {
      if (field.type === "hidden" || field.checked) found[field.name] = field.value;
    });
    return found;
  }
  function store() {
    clearTimeout(timer);
    timer = 0;
    try {
      localStorage.setItem(KEY, JSON.stringify({ text: text.value, name: fileName.value, decisions: decisions(), at: Date.now() }));
      note.textContent = "Draft saved in this browser.";
    } catch (error) {
      note.textContent = "This browser cannot store a draft: save before you leave.";
    }
  }
  function storeSoon() {
    clearTimeout(timer);
    timer = setTimeout(store, DRAFT_AFTER_MS);
  }
  function forget() {
    try { localStorage.removeItem(KEY); } catch (error) { note.textContent = "This browser cannot store a draft."; }
  }
  function kept() {
    try {
      const draft = JSON.parse(localStorage.getItem(KEY) || "null");
      return draft && typeof draft.text === "string" ? draft : null;
    } catch (error) {
      return null;
    }
  }
  function bring(choices) {
    Object.entries(choices || {}).forEach(function ([name, value]) {
      if (!/^decision-[0-9a-f]{24}$/.test(name)) return;
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      field.value = value;
      preview.append(field);
    });
  }
  text.addEventListener("input", function () {
    bands.replaceChildren(); // the lines move; the next preview says anew what is not read
    unread = [];
    number();
    storeSoon();
  });
  window.addEventListener("pagehide", () => timer && store());
  const offer = document.getElementById("draft-offer");
  const draft = kept();
  if (form.dataset.posted === "true") {
    if (text.value) store(); // what was sent and came back, such as a repaired text, is the newest
  } else if (draft && draft.text !== start && draft.text.trim()) {
    const when = new Date(draft.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    document.getElementById("draft-words").textContent = "This browser has an unsaved draft of " + when + " (" + draft.text.split("\n").length + " lines).";
    offer.hidden = false;
  }
  document.getElementById("draft-take").addEventListener("click", function () {
    text.value = draft.text;
    fileName.value = draft.name || "";
    preview.replaceChildren();
    bring(draft.decisions);
    offer.hidden = true;
    note.textContent = "Draft restored.";
    changed();
    text.focus();
  });
  document.getElementById("draft-drop").addEventListener("click", function () {
    forget();
    offer.hidden = true;
    note.textContent = "Draft discarded.";
    text.focus();
  });
  form.addEventListener("submit", function (event) {
    if (!event.submitter || event.submitter.id !== "keep") return;
    if (timer) store();
    // Forgotten by the page of the kept plan: a refused one comes back here and is still wanted.
    try { sessionStorage.setItem("ce-draft-sent", KEY); } catch (error) { forget(); }
  });

  // ---- files: one is read into the editor, several are sent as they are ---------------------------------------
  function read(file) {
    if (file.size > Number(box.dataset.limit)) {
      note.textContent = file.name + " is larger than the limit of " + box.dataset.limit + " bytes.";
      return;
    }
    file.text().then(function (content) {
      text.value = content;
      fileName.value = file.name;
      files.value = "";
      changed();
      store();
      note.textContent = "Read " + file.name + ". Draft saved in this browser.";
    });
  }
  function take(list) {
    if (list.length === 1 || !files.multiple) {
      read(list[0]);
      return;
    }
    note.textContent = "Sending " + list.length + " files.";
    form.submit();
  }
  files.addEventListener("change", () => files.files.length && take(files.files));
  ["dragenter", "dragover"].forEach((name) => box.addEventListener(name, (event) => { event.preventDefault(); box.classList.add("drop"); }));
  ["dragleave", "drop"].forEach((name) => box.addEventListener(name, () => box.classList.remove("drop")));
  box.addEventListener("drop", function (event) {
    const dropped = event.dataTransfer.files;
    if (!dropped.length) return;
    event.preventDefault();
    if (dropped.length > 1 && files.multiple) files.files = dropped;
    take(dropped);
  });

  // ---- the preview: choices count at once, what was opened stays open -----------------------------------------
  preview.addEventListener("change", function (event) {
    if (!event.target.matches("[name^='decision-']")) return;
    storeSoon();
    changed();
  });
  document.getElementById("id_project").addEventListener("change", changed);
  let open = [];
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.target === preview) open = Array.from(preview.querySelectorAll("details[id][open]"), (one) => one.id);
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target !== preview) return;
    open.forEach(function (id) {
      const again = document.getElementById(id);
      if (again) again.open = true;
    });
    dim();
  });

  number();
  dim();
  if (/^#L\d+$/.test(location.hash)) select(Number(location.hash.slice(2)));
});
