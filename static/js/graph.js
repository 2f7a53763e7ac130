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
document.addEventListener("htmx:load", (event) => rove(event.detail.elt.parentElement || event.detail.elt));
