// Live pages on top of htmx; without this file every page still works with plain links and forms.
(function () {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");
  const BACK_OFF_SECONDS = [2, 8, 18];
  const HIDDEN_SECONDS = 15;
  let errorsInRow = 0;
  let silentUntil = 0;
  let lastAsked = 0;

  // ---- polling: nothing while hidden, slower after errors, old data keeps its time -------------------------
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (!event.target.matches("[data-poll]")) return;
    const busy = Date.now() < silentUntil;
    // Who asked to be told is told while looking elsewhere too, but not as fast.
    const away = document.hidden && !(wantsNotes() && Date.now() - lastAsked >= HIDDEN_SECONDS * 1000);
    if (away || busy) event.preventDefault();
    else lastAsked = Date.now();
  });
  function setAge(old, date) {
    const mark = document.getElementById("as-of");
    if (!mark) return;
    mark.dataset.old = old ? "true" : "false";
    if (date) mark.querySelector("[data-clock]").textContent = clock(date);
    mark.querySelector("[data-words]").textContent = old ? "No connection. Data as of" : "Live, as of";
  }
  document.addEventListener("htmx:afterRequest", function (event) {
    if (!event.target.matches("[data-poll]")) return;
    if (event.detail.successful) {
      errorsInRow = 0;
      silentUntil = 0;
      setAge(false, new Date());
      if (event.detail.xhr.status === 286) {
        const mark = document.getElementById("as-of");
        if (mark) mark.querySelector("[data-words]").textContent = "Ended, as of";
      }
      return;
    }
    silentUntil = Date.now() + 1000 * BACK_OFF_SECONDS[Math.min(errorsInRow, BACK_OFF_SECONDS.length - 1)];
    errorsInRow += 1;
    setAge(true, null);
  });
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) return;
    silentUntil = 0;
    document.querySelectorAll("[data-poll]").forEach((element) => window.htmx && window.htmx.trigger(element, "ce:now"));
  });

  // ---- swaps keep what the reader opened --------------------------------------------------------------------
  document.addEventListener("click", function (event) {
    const summary = event.target.closest("summary");
    if (summary && summary.parentElement.id) summary.parentElement.dataset.touched = "true";
  });
  document.addEventListener("htmx:oobBeforeSwap", function (event) {
    const now = event.detail.target;
    const next = event.detail.fragment.firstElementChild;
    if (!next || next.id !== now.id) return; // entries that are added at the end disturb nothing
    if (selected(now)) {
      event.detail.shouldSwap = false;
      held.set(now.id, next);
      return;
    }
    held.delete(now.id);
    keepOpen(now, next);
    remember(now);
  });
  document.addEventListener("htmx:oobAfterSwap", afterSwap);
  document.addEventListener("htmx:afterSwap", afterSwap);
  function afterSwap() {
    restore();
    trim();
    filterLines();
    follow();
    tick();
    showMark();
    say();
  }
  // The graph, once it is there, follows what the stages say, a little later and not each time.
  let graphTimer = 0;
  document.addEventListener("htmx:oobAfterSwap", function () {
    const box = document.getElementById("graph-box");
    if (graphTimer || !box || !box.open || !box.querySelector("svg")) return;
    graphTimer = setTimeout(function () {
      graphTimer = 0;
      window.htmx.trigger("#graph", "ce:graph");
    }, 3000);
  });
  document.addEventListener("htmx:beforeSwap", (event) => event.detail.target.id === "graph" && remember(event.detail.target));
  function keepOpen(now, next) {
    [now, ...now.querySelectorAll("details[id]")].forEach(function (old) {
      if (old.tagName !== "DETAILS" || old.dataset.touched !== "true") return;
      const fresh = old === now ? next : next.querySelector("#" + CSS.escape(old.id));
      if (!fresh) return;
      fresh.open = old.open;
      fresh.dataset.touched = "true";
    });
  }
  // What somebody is selecting waits with its swap until the selection is gone: text that is being copied must not move.
  const held = new Map();
  function selected(element) {
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(element));
  }
  document.addEventListener("selectionchange", function () {
    for (const [id, next] of Array.from(held)) {
      const now = document.getElementById(id);
      if (now && selected(now)) continue;
      held.delete(id);
      if (!now) continue;
      keepOpen(now, next);
      now.replaceWith(next);
      window.htmx.process(next);
      tick();
    }
  });
  // The focus goes to the same control of the new piece, and what was scrolled inside it stays there.
  const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";
  let places = [];
  function remember(now) {
    const active = document.activeElement;
    const controls = Array.from(now.querySelectorAll(FOCUSABLE));
    const scrolled = [];
    controls.forEach(function (one, place) {
      if (one.scrollTop || one.scrollLeft) scrolled.push([place, one.scrollTop, one.scrollLeft]);
    });
    const focused = controls.indexOf(active);
    if (focused >= 0 || scrolled.length) places.push({ id: now.id, focused, scrolled, href: active.getAttribute("href") });
  }
  function restore() {
    for (const place of places.splice(0)) {
      const now = document.getElementById(place.id);
      if (!now) continue;
      const controls = Array.from(now.querySelectorAll(FOCUSABLE));
      for (const [at, top, left] of place.scrolled) {
        if (controls[at]) controls[at].scrollTo(left, top);
      }
      if (place.focused < 0 || (document.activeElement && document.activeElement !== document.body)) continue;
      const same = controls.find((one) => place.href && one.getAttribute("href") === place.href) || controls[place.focused];
      if (same) same.focus({ preventScroll: true });
    }
  }

  // ---- logs: follow, drop what is old, copy, name a line -----------------------------------------------------
  function follow() {
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
  function trim() {
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
  function filterLines() {
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
  function showLine() {
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

  // ---- what the tab says, and who asked to be told -----------------------------------------------------------
  let shownMark = null;
  function showMark() {
    const mark = document.getElementById("mark");
    if (!mark) return;
    const now = Object.assign({}, mark.dataset);
    if (shownMark && shownMark.title === now.title && shownMark.look === now.look && shownMark.live === now.live) return;
    document.title = now.title + " · CE Web";
    const icon = document.getElementById("icon");
    const colour = getComputedStyle(root).getPropertyValue("--" + now.look + "-bar").trim();
    const drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="' + resolved(colour) +
      '"/><g fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"><path d="M7 12h3M14 7.5h3M14 16.5h3M10 12c2.5 0 1.5-4.5 4-4.5M10 12c2.5 0 1.5 4.5 4 4.5"/></g></svg>';
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
  function wantsNotes() {
    return "Notification" in window && Notification.permission === "granted" && localStorage.getItem("ce-notify") === "yes";
  }
  function tell(before, now) {
    const ended = before.live === "true" && now.live !== "true";
    const needed = Number(now.attention) > Number(before.attention);
    if ((!ended && !needed) || !wantsNotes() || (!document.hidden && document.hasFocus())) return;
    const note = new Notification(now.title, { body: now.words, tag: location.pathname });
    note.addEventListener("click", () => window.focus());
  }
  function notifyButton() {
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

  // ---- one live region: what is new on the page is said there, once ------------------------------------------
  function say() {
    document.querySelectorAll("[data-say]").forEach(function (element) {
      const words = element.textContent.trim();
      const region = document.getElementById("announce");
      if (region && words) region.textContent = words;
      delete element.dataset.say;
    });
  }

  // ---- clocks: ages tick here, the server says only when something happened --------------------------------
  function clock(date) {
    return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  }
  function words(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min " + String(s % 60).padStart(2, "0") + " s";
    if (s < 86400) return Math.floor(s / 3600) + " h " + String(Math.floor((s % 3600) / 60)).padStart(2, "0") + " min";
    return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
  }
  function tick() {
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
  function skew() {
    // The server's clock at render against ours: ages are right on a machine whose clock is not.
    const stamp = document.querySelector("meta[name='ce-now']");
    if (stamp) root.dataset.skew = String(Date.parse(stamp.content) - Date.now());
  }

  // ---- buttons: one form, many verbs; the page stays where it is -------------------------------------------
  document.addEventListener("submit", function (event) {
    const form = event.target;
    const button = event.submitter;
    if (!window.htmx || !form.matches("[data-verbs]") || !button) return;
    event.preventDefault();
    button.disabled = true;
    const values = {};
    if (button.name) values[button.name] = button.value;
    window.htmx.ajax("POST", button.formAction, { source: form, target: form, swap: "none", values: values })
      .finally(() => { button.disabled = false; });
  });
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.menu[open]").forEach((menu) => menu.contains(event.target) || menu.removeAttribute("open"));
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    });
  });

  // ---- theme ------------------------------------------------------------------------------------------------
  document.addEventListener("submit", function (event) {
    if (!event.target.matches("[data-theme-form]")) return;
    event.preventDefault();
    const next = event.submitter.value;
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    document.cookie = "theme=" + next + ";path=/;max-age=31536000;samesite=lax";
    event.target.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(one === event.submitter)));
  });

  // ---- graph: the edges of the node under the pointer ------------------------------------------------------
  function light(event, on) {
    const node = event.target.closest && event.target.closest("[data-node]");
    if (!node) return;
    const svg = node.closest("svg");
    svg.querySelectorAll(".edge.lit").forEach((edge) => edge.classList.remove("lit"));
    if (!on) return;
    svg.querySelectorAll(".edge").forEach(function (edge) {
      if (edge.dataset.from === node.dataset.node || edge.dataset.to === node.dataset.node) edge.classList.add("lit");
    });
  }
  document.addEventListener("pointerover", (event) => light(event, true));
  document.addEventListener("pointerout", (event) => light(event, false));
  document.addEventListener("focusin", (event) => light(event, true));


  // ---- graph by keyboard: one stop of the Tab key, arrows go from node to node -------------------------------
  function rove(root) {
    root.querySelectorAll(".graph svg").forEach(function (svg) {
      svg.querySelectorAll("[data-node]").forEach((node, place) => node.setAttribute("tabindex", place ? "-1" : "0"));
    });
  }
  function centre(node) {
    const box = node.querySelector("rect");
    return Number(box.getAttribute("y")) + Number(box.getAttribute("height")) / 2;
  }
  function neighbour(node, key) {
    const all = Array.from(node.closest("svg").querySelectorAll("[data-node]"));
    const place = all.indexOf(node);
    const column = Number(node.dataset.column);
    if (key === "Home") return all[0];
    if (key === "End") return all[all.length - 1];
    if (key === "ArrowUp" || key === "ArrowDown") {
      const next = all[place + (key === "ArrowUp" ? -1 : 1)];
      return next && Number(next.dataset.column) === column ? next : null;
    }
    const beside = all.filter((one) => Number(one.dataset.column) === column + (key === "ArrowLeft" ? -1 : 1));
    beside.sort((a, b) => Math.abs(centre(a) - centre(node)) - Math.abs(centre(b) - centre(node)));
    return beside[0];
  }
  document.addEventListener("keydown", function (event) {
    const node = event.target.closest && event.target.closest(".graph [data-node]");
    if (!node || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const next = neighbour(node, event.key);
    if (!next) return;
    node.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  document.addEventListener("htmx:load", (event) => rove(event.detail.elt.parentElement || event.detail.elt));

  // ---- on paper everything that is folded is open ------------------------------------------------------------
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("main details:not([open], .menu)").forEach(function (one) {
      one.open = true;
      one.dataset.printed = "true";
    });
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll("[data-printed]").forEach(function (one) {
      one.open = false;
      delete one.dataset.printed;
    });
  });

  document.addEventListener("DOMContentLoaded", function () {
    rove(document);
    skew();
    tick();
    follow();
    showLine();
    showMark();
    notifyButton();
    setTimeout(say, 100); // a region speaks of what changes in it, not of what it begins with
    setInterval(tick, 1000);
  });
})();
