// The figures of the metrics page. Without this file, or without plotly, their tables are there and open.
const root = document.documentElement;
const settings = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };
const charts = Array.from(document.querySelectorAll("[data-chart]"));
const drawn = new Set();

// ---- one theme: a figure names the page's own custom properties, which are looked up when it is drawn -------------
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
let colours = new Map();
function colour(name) {
  if (!colours.has(name)) {
    probe.style.color = name;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}
function themed(value) {
  if (typeof value === "string") return /^var\(--[a-z0-9-]+\)$/.test(value) ? colour(value) : value;
  if (Array.isArray(value)) return value.map(themed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
}

function draw(chart) {
  const figure = JSON.parse(document.getElementById(chart.dataset.chart).textContent);
  const layout = themed(figure.layout);
  if (layout.height) chart.style.blockSize = layout.height + "px";
  const first = !drawn.has(chart);
  drawn.add(chart);
  window.Plotly.react(chart, themed(figure.data), layout, settings).then(function () {
    chart.dataset.drawn = "true";
    if (first) listen(chart);
  });
}

// ---- a bar opens what it was counted from ------------------------------------------------------------------------
function target(event) {
  const told = event.points && event.points[0] && event.points[0].customdata;
  return told && typeof told[0] === "string" && told[0].startsWith("/") && !told[0].startsWith("//") ? told[0] : "";
}
function listen(chart) {
  chart.on("plotly_click", function (event) {
    const href = target(event);
    if (href) window.location.assign(href);
  });
  chart.on("plotly_hover", (event) => chart.classList.toggle("opens", Boolean(target(event))));
  chart.on("plotly_unhover", () => chart.classList.remove("opens"));
}

// ---- drawn when looked at, and again when the theme changes -------------------------------------------------------
function again() {
  colours = new Map();
  drawn.forEach(draw);
}
function tables(open) {
  charts.forEach(function (chart) {
    chart.closest("section").querySelector("details.figure-data").open = open;
  });
}
function begin() {
  if (!window.Plotly) {
    tables(true);
    charts.forEach((chart) => chart.remove());
    return;
  }
  const seen = new IntersectionObserver(function (entries) {
    entries.filter((entry) => entry.isIntersecting).forEach(function (entry) {
      seen.unobserve(entry.target);
      draw(entry.target);
    });
  }, { rootMargin: "300px" });
  charts.forEach((chart) => seen.observe(chart));
  new MutationObserver(again).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}
tables(false); // at once; plotly's own script comes after this one
document.addEventListener("DOMContentLoaded", begin);
