// draw.js - elements, figures and charts. All text goes in as text: nothing that came from a client is ever markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (child !== undefined && child !== null && child !== false) element.append(child);
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// --- figures ---------------------------------------------------------------------------------

export const NONE = "–";
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const known = (print) => (value) => (value === null || value === undefined ? NONE : print(value));

export const count = known((n) => (Math.abs(n) < 10000 ? n.toLocaleString("en") : compact.format(n)));
export const percent = known((n) => `${n.toFixed(n < 10 && n > 0 ? 1 : 0)} %`);
export const dollars = known((n) =>
  n === 0 ? "$0" : n >= 100 ? `$${count(Math.round(n))}` : `$${n.toFixed(n >= 1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(n)))).replace(/(\.\d*?)0+$/, "$1")}`);
export const duration = known((ms) =>
  ms >= 60000 ? `${(ms / 60000).toFixed(1)} min` : ms >= 1000 ? `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s` : ms >= 1 || ms === 0 ? `${Math.round(ms)} ms` : `${ms.toFixed(2)} ms`);
export const when = known((iso) => new Date(iso).toLocaleString("sv"));

// --- charts ----------------------------------------------------------------------------------

const HEIGHT = 170, LEFT = 52, BOTTOM = 20, TOP = 10;
const HOUR = 3600e3, DAY = 24 * HOUR;

// The least of 1, 2 or 5 times a power of ten that is no less.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * 0.999999);
}

function hours(time, range) {
  const t = new Date(time);
  return range > 2 * DAY ? t.toLocaleDateString("sv").slice(5) : t.toLocaleTimeString("sv").slice(0, 5);
}

// As wide as its card will be, so that a unit is a pixel; app.css says when there are two in a row.
function widthOfChart() {
  const room = document.getElementById("main").clientWidth - 32;
  return (room >= 852 ? (room - 12) / 2 : room) - 30;
}

function axes(top, format, from, to, x, y) {
  const lines = [0, 0.5, 1].map((part) => [
    s("line", { class: "grid", x1: LEFT, x2: x(to), y1: y(part * top), y2: y(part * top) }),
    s("text", { x: LEFT - 6, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)),
  ]);
  const times = [0, 1 / 3, 2 / 3, 1].map((part) => s("text", {
    x: x(from + part * (to - from)), y: HEIGHT - 4,
    "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle",
  }, hours(from + part * (to - from), to - from)));
  return [lines, times];
}

// points: [{timestamp, ...}]; series: [{name, of: point => number or null, class}]; bars stand on each other's ground.
export function chart({ title, points, series, format, range, step, bars, max }) {
  const to = Math.ceil(Date.now() / step) * step, from = to - range;
  const values = points.flatMap((p) => series.map((one) => one.of(p))).filter((v) => v !== null && v !== undefined);
  const top = max || ceiling(Math.max(0, ...values));
  const full = widthOfChart();
  const x = (time) => LEFT + ((time - from) / (to - from)) * (full - LEFT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const at = (p) => Date.parse(p.timestamp);
  const label = (p) => `${when(p.timestamp)}\n${series.map((one) => `${one.name}: ${format(one.of(p))}`).join("\n")}`;
  const shown = points.filter((p) => at(p) >= from - step);
  const width = Math.max(2, x(from + step) - x(from) - 1);
  const marks = bars
    ? shown.map((p) => s("g", {}, s("title", {}, label(p)), series.map((one) => s("rect", {
        class: one.class, x: Math.max(LEFT, x(at(p))), width, y: y(one.of(p) || 0), height: y(0) - y(one.of(p) || 0),
      }))))
    : [series.map((one) => {
        const line = shown.filter((p) => one.of(p) !== null && one.of(p) !== undefined);
        return s("path", { class: one.class, d: line.map((p, i) => `${i ? "L" : "M"}${x(at(p) + step / 2).toFixed(1)} ${y(one.of(p)).toFixed(1)}`).join("") });
      }),
      shown.map((p) => s("g", {}, s("title", {}, label(p)), series.filter((one) => one.of(p) !== null && one.of(p) !== undefined).map((one) =>
        s("circle", { class: one.class, cx: x(at(p) + step / 2), cy: y(one.of(p)), r: shown.length < 80 ? 3 : 1.5 }))))];
  return h("section", { class: "card chart" },
    h("h2", {}, title),
    s("svg", { viewBox: `0 0 ${full} ${HEIGHT}`, role: "img",
      "aria-label": `${title}: ${shown.length} points, at most ${values.length ? format(Math.max(...values)) : "nothing"}` },
      axes(top, format, from, to, x, y), marks),
    h("div", { class: "legend" }, series.map((one) => h("span", {}, h("i", { class: one.class }), one.name)),
      shown.length === 0 && h("span", {}, "nothing in this time")));
}

// --- tables ----------------------------------------------------------------------------------

// columns: [{name, of: row => text or element, class}]
export function table(columns, rows, empty) {
  if (rows.length === 0) return h("p", { class: "quiet" }, empty);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { class: c.class, scope: "col" }, c.name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((c) => h("td", { class: c.class }, c.of(row))))))));
}

const KIND = { success: "good", error: "bad", blocked: "warn", truncated: "bad" };
export const badge = (status) => h("span", { class: `badge ${KIND[status] || "quiet"}` }, status || NONE);

export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

export const json = (value) => h("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));
