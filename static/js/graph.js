// The graph: the edges of the node under the pointer; by keyboard one stop of the Tab key, arrows go from node to node.
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

export function rove(root) {
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

// ---- size: the picture scrolls in its box; larger and smaller, to fit, by buttons, keys and Ctrl with the wheel ----------
const LEAST = 0.1, MOST = 2, READABLE = 0.6;
let kept = null; // size and place, for the next picture of the same graph

function parts(frame) {
  const box = frame.querySelector(".graph");
  const svg = box.querySelector("svg");
  return { box, svg, width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height, map: frame.querySelector("[data-graph-map]") };
}
function scaleOf(frame) {
  const { svg, width } = parts(frame);
  return Number(svg.getAttribute("width")) / width;
}
function fitting(frame) {
  const { box, width, height } = parts(frame);
  return Math.min(1, (box.clientWidth - 24) / width, (window.innerHeight * 0.75 - 24) / height);
}
function resize(frame, wanted, at) {
  const { box, svg, width, height } = parts(frame);
  const before = scaleOf(frame);
  const scale = Math.min(MOST, Math.max(Math.min(LEAST, fitting(frame)), wanted));
  const x = at ? at.x : box.clientWidth / 2, y = at ? at.y : box.clientHeight / 2; // stays where it is
  const left = (box.scrollLeft + x) * scale / before - x, top = (box.scrollTop + y) * scale / before - y;
  svg.setAttribute("width", Math.round(width * scale));
  svg.setAttribute("height", Math.round(height * scale));
  box.scrollTo(left, top);
  seen(frame);
}
function zoom(frame, how, at) {
  const now = scaleOf(frame);
  resize(frame, { in: now * 1.25, out: now / 1.25, fit: fitting(frame), full: 1 }[how], at);
}
document.addEventListener("click", function (event) {
  const button = event.target.closest("[data-graph-zoom]");
  if (button) zoom(button.closest("[data-graph]"), button.dataset.graphZoom);
});
document.addEventListener("wheel", function (event) {
  const box = event.ctrlKey && event.target.closest(".graph");
  if (!box) return;
  event.preventDefault();
  const edge = box.getBoundingClientRect();
  zoom(box.closest("[data-graph]"), event.deltaY < 0 ? "in" : "out", { x: event.clientX - edge.left, y: event.clientY - edge.top });
}, { passive: false });
document.addEventListener("keydown", function (event) {
  const how = { "+": "in", "-": "out", "0": "fit", "1": "full" }[event.key];
  const box = how && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.closest(".graph");
  if (box) zoom(box.closest("[data-graph]"), how);
});

// ---- drawn along with the mouse; a finger scrolls the box itself ------------------------------------------------------
let drag = null;
document.addEventListener("pointerdown", function (event) {
  const box = event.pointerType === "mouse" && event.button === 0 && event.target.closest(".graph");
  drag = box ? { box, x: event.clientX, y: event.clientY, left: box.scrollLeft, top: box.scrollTop, moved: false } : null;
});
document.addEventListener("pointermove", function (event) {
  if (!drag) return;
  const x = event.clientX - drag.x, y = event.clientY - drag.y;
  if (!drag.moved && Math.hypot(x, y) < 5) return;
  drag.moved = true;
  drag.box.classList.add("dragged");
  drag.box.scrollTo(drag.left - x, drag.top - y);
});
document.addEventListener("pointerup", function () {
  if (drag) drag.box.classList.remove("dragged");
});
document.addEventListener("click", function (event) { // the end of a drag opens nothing
  if (drag && drag.moved && event.target.closest(".graph")) event.preventDefault();
  drag = null;
}, true);
document.addEventListener("dragstart", (event) => event.target.closest && event.target.closest(".graph a") && event.preventDefault());

// ---- find: what does not match grows pale; Enter goes to the first that does -------------------------------------------
function matches(frame, text) {
  return Array.from(frame.querySelectorAll("[data-node]")).filter((node) => node.getAttribute("aria-label").toLowerCase().includes(text));
}
function find(field) {
  const frame = field.closest("[data-graph]");
  const text = field.value.trim().toLowerCase();
  const found = text ? matches(frame, text) : [];
  frame.querySelector(".graph").classList.toggle("finding", Boolean(text));
  frame.querySelectorAll("[data-node]").forEach((node) => node.classList.toggle("found", found.includes(node)));
  frame.querySelector("[data-graph-found]").textContent = text ? `${found.length} found` : "";
  return found;
}
document.addEventListener("input", (event) => event.target.matches("[data-graph-find]") && find(event.target));
document.addEventListener("keydown", function (event) {
  if (!event.target.matches("[data-graph-find]") || event.key !== "Enter") return;
  event.preventDefault();
  const [first] = find(event.target);
  if (!first) return;
  first.focus();
  first.scrollIntoView({ block: "center", inline: "center" });
});

// ---- a small map of a large graph, with the part that is seen -----------------------------------------------------------
const SVG = "http://www.w3.org/2000/svg", LARGE = 80, MAP = 168, LEAST_MAP = 40;
function draw(frame) {
  const { svg, width, height, map } = parts(frame);
  const nodes = svg.querySelectorAll("[data-node]");
  if (nodes.length <= LARGE || map.firstChild) return;
  const small = document.createElementNS(SVG, "svg");
  const scale = Math.min(MAP / width, MAP / height);
  const size = (length) => Math.max(LEAST_MAP, length * scale); // a long ribbon is drawn higher than it is
  const names = { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  for (const [name, value] of Object.entries({ ...names, width: size(width), height: size(height) })) small.setAttribute(name, value);
  nodes.forEach(function (node) {
    const copy = node.querySelector("rect").cloneNode();
    copy.dataset.state = node.dataset.state || "queued";
    small.append(copy);
  });
  const view = document.createElementNS(SVG, "rect");
  view.setAttribute("class", "graph-view");
  small.append(view);
  map.append(small);
}
function seen(frame) {
  const { box, map } = parts(frame);
  const scale = scaleOf(frame);
  kept = { path: window.location.pathname, scale, left: box.scrollLeft, top: box.scrollTop };
  const view = map.querySelector(".graph-view");
  if (!view) return;
  const part = { x: box.scrollLeft / scale, y: box.scrollTop / scale, width: box.clientWidth / scale, height: box.clientHeight / scale };
  for (const [name, value] of Object.entries(part)) view.setAttribute(name, value);
  map.hidden = box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight;
}
function jump(event) {
  const map = event.buttons === 1 && event.target.closest && event.target.closest("[data-graph-map]");
  if (!map) return;
  event.preventDefault();
  const frame = map.closest("[data-graph]");
  const { box, width, height } = parts(frame);
  const edge = map.firstChild.getBoundingClientRect();
  const x = (event.clientX - edge.left) / edge.width * width, y = (event.clientY - edge.top) / edge.height * height;
  box.scrollTo(x * scaleOf(frame) - box.clientWidth / 2, y * scaleOf(frame) - box.clientHeight / 2);
}
document.addEventListener("pointerdown", jump);
document.addEventListener("pointermove", jump);
document.addEventListener("scroll", function (event) {
  const frame = event.target.closest && event.target.matches(".graph") && event.target.closest("[data-graph]");
  if (frame) seen(frame);
}, true);

function begin(root) {
  rove(root);
  root.querySelectorAll("[data-graph]").forEach(function (frame) {
    const { box } = parts(frame);
    if (frame.dataset.begun || !box.clientWidth) return;
    frame.dataset.begun = "true";
    draw(frame);
    const same = kept && kept.path === window.location.pathname ? { ...kept } : null;
    resize(frame, same ? same.scale : Math.max(fitting(frame), READABLE));
    box.scrollTo(same ? same.left : 0, same ? same.top : 0);
  });
}
begin(document);
document.addEventListener("htmx:load", (event) => begin(event.detail.elt.parentElement || event.detail.elt));
