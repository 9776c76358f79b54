// app.js - the views of the dashboard. The address behind the # says which: #/logs?status=error.

import { get, key, post } from "/dashboard/api.js";
import { NONE, badge, chart, count, dollars, duration, facts, h, json, percent, s, table, when } from "/dashboard/draw.js";

const main = document.getElementById("main");
const HOUR = 3600e3, DAY = 24 * HOUR;
const RANGES = { "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const STEPS = { "1h": HOUR / 60, "6h": HOUR / 60, "24h": HOUR, "7d": HOUR, "30d": DAY };

const link = (path, query, ...text) => h("a", { href: address(path, query) }, ...text);

function address(path, query) {
  const given = Object.entries(query || {}).filter(([, value]) => value);
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

// --- overview --------------------------------------------------------------------------------

const tile = (name, value, more) => h("div", { class: "card tile" }, h("span", {}, name), h("b", {}, value), h("span", {}, more || "\u00a0"));

function rangePicker(path, query) {
  return h("div", { class: "ranges", role: "group", "aria-label": "Time" }, Object.keys(RANGES).map((name) =>
    h("a", { href: address(path, { ...query, time_range: name }), "aria-current": (query.time_range || "24h") === name && "true" }, name)));
}

async function overview(_, query) {
  const time = RANGES[query.time_range] ? query.time_range : "24h";
  const about = { time_range: time };
  const graph = (name) => get(`/v1/analytics/graphs/${name}`, about);
  const [{ summary }, requests, errors, cost, latency, hits, tokens, models, users] = await Promise.all([
    get("/v1/analytics/requests", { ...about, page_size: 1 }), graph("requests"), graph("errors"), graph("cost"),
    graph("latency"), graph("cache/hit-rate"), graph("tokens"),
    get("/v1/analytics/groups/ai-models", about), get("/v1/analytics/groups/users", about)]);
  const failed = new Map(errors.data_points.map((p) => [p.timestamp, p.total]));
  const base = { range: RANGES[time], step: STEPS[time] };
  const groups = (title, name, data, filter) => h("section", { class: "card" }, h("h2", {}, title), table([
    { name: title, class: "text", of: (g) => (g[name] ? link("logs", { time_range: time, [filter]: g[name] }, g[name]) : NONE) },
    { name: "Requests", class: "number", of: (g) => count(g.requests) },
    { name: "Cost", class: "number", of: (g) => dollars(g.cost_usd) },
  ], data.slice(0, 10), "Nothing in this time."));
  return [
    h("div", { class: "row" }, h("h1", {}, "Overview"), rangePicker("overview", query)),
    h("div", { class: "tiles" },
      tile("Requests", count(summary.total), `${count(summary.users)} users`),
      tile("Errors", count(summary.errors), summary.total ? percent((100 * summary.errors) / summary.total) : ""),
      tile("Cost", dollars(summary.cost_usd), "where the price is known"),
      tile("Tokens", count(summary.total_tokens), `${count(summary.input_tokens)} in, ${count(summary.output_tokens)} out`),
      tile("Latency, mean", duration(summary.avg_latency_ms), latency.summary.p95 === undefined ? "" : `p95 ${duration(latency.summary.p95)}`),
      tile("Cache hits", count(summary.cache_hits), hits.summary.rate === null ? "" : `${percent(hits.summary.rate)} of those asked`)),
    h("div", { class: "charts" },
      chart({ ...base, title: "Requests", bars: true, points: requests.data_points, format: count, series: [
        { name: "all", class: "one", of: (p) => p.total }, { name: "errors", class: "two", of: (p) => failed.get(p.timestamp) || 0 }] }),
      chart({ ...base, title: "Cost", bars: true, points: cost.data_points, format: dollars, series: [
        { name: "dollars", class: "one", of: (p) => p.total_usd }] }),
      chart({ ...base, title: "Latency", points: latency.data_points, format: duration, series: [
        { name: "p50", class: "one", of: (p) => p.p50 }, { name: "p95", class: "two", of: (p) => p.p95 }] }),
      chart({ ...base, title: "Cache hit rate", points: hits.data_points, format: percent, max: 100, series: [
        { name: "of the calls that asked it", class: "one", of: (p) => p.rate }] }),
      chart({ ...base, title: "Tokens", bars: true, points: tokens.data_points, format: count, series: [
        { name: "in and out", class: "one", of: (p) => p.total }] }),
      groups("Models", "ai_model", models.data, "model"), groups("Users", "user", users.data, "user")),
  ];
}

// --- logs ------------------------------------------------------------------------------------

const FILTERS = ["time_range", "status", "provider", "model", "trace_id", "user", "metadata", "search"];
const STATUSES = ["", "success", "error", "blocked", "client_closed", "truncated", "cancelled"];

// "feature=search, team=a" as the API's {"feature":"search","team":"a"}.
function metadataFilter(text) {
  if (!text || text.trim().startsWith("{")) return text;
  return JSON.stringify(Object.fromEntries(text.split(",").map((pair) => pair.split("=").map((word) => word.trim())).map(([k, ...v]) => [k, v.join("=")])));
}

function filterForm(query) {
  const field = (name, label, more) => h("div", {}, h("label", { for: `f-${name}` }, label),
    h("input", { id: `f-${name}`, name, value: query[name] || "", size: 14, ...more }));
  const choice = (name, label, values, chosen) => h("div", {}, h("label", { for: `f-${name}` }, label),
    h("select", { id: `f-${name}`, name }, values.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
  const submit = (event) => {
    event.preventDefault();
    location.hash = address("logs", Object.fromEntries(new FormData(event.target)));
  };
  return h("form", { class: "row card", onsubmit: submit, "aria-label": "Filters" },
    choice("time_range", "Time", [["", "all"], ...Object.keys(RANGES).map((r) => [r, r])], query.time_range || ""),
    choice("status", "Status", STATUSES.map((v) => [v, v || "any"]), query.status || ""),
    field("provider", "Provider"), field("model", "Model"), field("trace_id", "Trace"), field("user", "User"),
    field("metadata", "Metadata", { placeholder: "feature=search" }), field("search", "Error text"),
    h("button", { class: "primary" }, "Filter"), link("logs", {}, "Clear"));
}

const LOG_COLUMNS = [
  { name: "Time", of: (l) => link(`logs/${l.id}`, {}, when(l.started_at)) },
  { name: "Status", of: (l) => [badge(l.status), l.http_status && l.http_status !== 200 ? ` ${l.http_status}` : ""] },
  { name: "Provider", of: (l) => l.provider || NONE },
  { name: "Model", of: (l) => l.model || l.request_model || NONE },
  { name: "Tokens", class: "number", of: (l) => count(l.total_units) },
  { name: "Cost", class: "number", of: (l) => dollars(l.cost_usd) },
  { name: "Latency", class: "number", of: (l) => duration(l.latency_ms) },
  { name: "Cache", of: (l) => (l.cache_status === "DISABLED" ? NONE : l.cache_status) },
  { name: "User", of: (l) => l.user_id || NONE },
  { name: "Trace", of: (l) => link("logs", { trace_id: l.trace_id }, l.trace_id.slice(0, 18)) },
];

async function logs(_, query) {
  const given = Object.fromEntries(FILTERS.map((name) => [name, query[name]]));
  const page = await get("/v1/logs", { ...given, metadata: metadataFilter(query.metadata), after: query.after, page_size: 50 });
  return [
    h("h1", {}, "Logs"), filterForm(query),
    h("section", { class: "card" }, table(LOG_COLUMNS, page.data, "No call is like that.")),
    h("div", { class: "row" }, h("span", { class: "quiet" }, `${page.total_is_exact ? count(page.total) : `more than ${count(page.total)}`} calls`),
      query.after && link("logs", { ...query, after: "" }, "Newest"),
      page.next_after && link("logs", { ...query, after: page.next_after }, "Older")),
  ];
}

// --- one call --------------------------------------------------------------------------------

// Rows of {name, status, at, ms, more} as bars in the time that they share.
function waterfall(rows) {
  const from = Math.min(...rows.map((r) => r.at)), to = Math.max(...rows.map((r) => r.at + r.ms), from + 0.001);
  const x = (time) => (100 * (time - from)) / (to - from);
  return table([
    { name: "Step", class: "text", of: (r) => r.name },
    { name: "Status", of: (r) => r.status },
    { name: "Time", class: "number", of: (r) => duration(r.ms) },
    { name: "", class: "bar", of: (r) => s("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: r.bad ? "two" : "one", x: Math.min(x(r.at), 99), y: 2, height: 6, width: Math.max(0.7, x(r.at + r.ms) - x(r.at)) })) },
    { name: "", class: "text", of: (r) => r.more },
  ], rows, "No steps.");
}

const spanRow = (span) => ({
  name: `${span.kind}${span.name ? ` ${span.name}` : ""}${span.provider ? ` ${span.provider}` : ""}${span.model ? ` ${span.model}` : ""}`,
  status: span.http_status || span.error_type || NONE, bad: Boolean(span.error_type),
  at: Date.parse(span.started_at), ms: span.latency_ms || 0,
  more: [span.error_message, span.wait_ms ? `then waited ${duration(span.wait_ms)}` : ""].filter(Boolean).join("; "),
});

function textOf(content) {
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part) => part.text || `[${part.type}]`).join("\n");
  return content ? JSON.stringify(content) : "";
}

const turn = (role, text) => h("div", { class: `turn ${role}` }, h("b", {}, role), h("p", {}, text));

// What is a conversation as one, and all of it as JSON.
function payload(title, body, turns) {
  return h("section", { class: "card" }, h("h2", {}, title),
    body === null ? h("p", { class: "quiet" }, "The log did not keep it.") : [turns, h("details", { open: turns.length === 0 }, h("summary", {}, "JSON"), json(body))]);
}

function requestTurns(body) {
  const messages = Array.isArray(body?.messages) ? body.messages : [];
  return messages.map((m) => turn(m.role, textOf(m.content) || JSON.stringify(m.tool_calls || "")));
}

function responseTurns(body) {
  const choices = (body?.choices || []).map((c) => turn("assistant", textOf(c.message?.content) || JSON.stringify(c.message?.tool_calls || "")));
  return choices.length ? choices : Array.isArray(body?.content) ? [turn("assistant", textOf(body.content))] : [];
}

function feedback(log, given) {
  const said = h("p", { class: "quiet", role: "status" });
  const send = async (event) => {
    event.preventDefault();
    try {
      await post("/v1/feedback", { trace_id: log.trace_id, value: Number(new FormData(event.target).get("value")) });
      said.textContent = "Thank you. It is in the store.";
    } catch (problem) {
      said.textContent = problem.message;
    }
  };
  return h("section", { class: "card" }, h("h2", {}, "Feedback on its trace"),
    table([{ name: "Value", of: (f) => f.value }, { name: "Weight", of: (f) => f.weight }, { name: "When", of: (f) => when(f.created_at) },
      { name: "Metadata", class: "text", of: (f) => (f.metadata ? JSON.stringify(f.metadata) : NONE) }], given, "None yet."),
    h("form", { class: "row", onsubmit: send }, h("div", {}, h("label", { for: "value" }, "From -10 to 10"),
      h("input", { id: "value", name: "value", type: "number", min: -10, max: 10, value: 5, required: true })), h("button", {}, "Give feedback")), said);
}

async function log([id]) {
  const call = await get(`/v1/logs/${encodeURIComponent(id)}`), m = call.metrics;
  const trace = await get("/v1/logs", { trace_id: call.trace_id, page_size: 50 });
  const others = trace.data.slice().reverse();
  return [
    h("div", { class: "row" }, h("h1", {}, `${m.operation} ${m.model || m.request_model || ""} `, badge(m.status)), link("logs", {}, "All logs")),
    h("div", { class: "stack" },
      m.error_message && h("p", { class: "card alert" }, m.error_message),
      h("section", { class: "card" }, facts([
        ["Time", when(m.started_at)], ["HTTP status", m.http_status], ["Provider", m.provider], ["Model asked for", m.request_model],
        ["Model that answered", m.model], ["Target", m.target_path], ["Attempts", m.attempts], ["Latency", duration(m.latency_ms)],
        ["First token", m.ttft_ms === null ? "" : duration(m.ttft_ms)], ["Overhead", duration(m.overhead_ms)], ["Tokens in", count(m.req_units)],
        ["Tokens out", count(m.res_units)], ["Cost", m.cost_usd === null ? `not known: ${m.cost_reason}` : dollars(m.cost_usd)],
        ["Saved", m.cost_saved_usd ? dollars(m.cost_saved_usd) : ""], ["Cache", m.cache_status], ["Guardrails", m.guardrail_verdict],
        ["Config", m.config], ["Virtual key", m.virtual_key], ["API key", m.api_key], ["User", m.user_id], ["Prompt", m.prompt],
        ["Metadata", m.metadata ? JSON.stringify(m.metadata) : ""], ["Source", m.source], ["Trace", link("logs", { trace_id: call.trace_id }, call.trace_id)], ["Id", call.id]])),
      h("section", { class: "card spans" }, h("h2", {}, "Steps"), waterfall(call.spans.map(spanRow))),
      others.length > 1 && h("section", { class: "card spans" }, h("h2", {}, `Trace: ${count(trace.total)} calls`), waterfall(others.map((l) => ({
        name: l.id === call.id ? `${l.operation} ${l.model || l.request_model} (this one)` : link(`logs/${l.id}`, {}, `${l.operation} ${l.model || l.request_model}`),
        status: badge(l.status), bad: l.status !== "success", at: Date.parse(l.started_at), ms: l.latency_ms, more: dollars(l.cost_usd) })))),
      h("div", { class: "halves" },
        payload("Request", call.request.body, requestTurns(call.request.body)),
        payload("Response", call.response.body, responseTurns(call.response.body))),
      feedback(call, call.feedback || [])),
  ];
}

// --- what is stored --------------------------------------------------------------------------

const status = { name: "Status", of: (row) => h("span", { class: row.status === "active" ? "good" : "warn" }, row.status || NONE) };
const changed = { name: "Changed", of: (row) => when(row.last_updated_at || row.created_at) };
const named = (path) => ({ name: "Slug", of: (row) => link(`${path}/${encodeURIComponent(row.slug || row.id)}`, {}, row.slug || row.id) });

// A list under `path`, with a page of JSON for each that is followed.
const stored = (path, title, columns, empty) => async ([slug]) => {
  if (slug) {
    const one = await get(`/v1/${path}/${encodeURIComponent(slug)}`);
    return [h("div", { class: "row" }, h("h1", {}, slug), link(path, {}, title)), h("section", { class: "card" }, json(one))];
  }
  const { data } = await get(`/v1/${path}`);
  return [h("h1", {}, title), h("section", { class: "card" }, table([named(path), ...columns, changed], data, empty))];
};

const configs = stored("configs", "Configs", [{ name: "Name", of: (c) => c.name || NONE }, { name: "Version", class: "number", of: (c) => c.version ?? NONE }, status],
  "No configs are stored. pkd config put SLUG stores one.");
const prompts = stored("prompts", "Prompts", [{ name: "Name", of: (p) => p.name || NONE }, { name: "Model", of: (p) => p.model || NONE }, status],
  "No prompts are stored. pkd prompt put SLUG stores one.");
const guardrails = stored("guardrails", "Guardrails", [{ name: "Name", of: (g) => g.name || NONE }, status], "No guardrails are stored. pkd guardrail put SLUG stores one.");

const limits = (row) => [...(row.rate_limits || []).map((l) => `${l.value} ${l.type} ${l.unit}`),
  ...[row.usage_limits || []].flat().filter((l) => l && l.credit_limit).map((l) => `${l.credit_limit} ${l.type || "cost"} ${l.periodic_reset || ""}`)].join(", ") || NONE;

async function keys() {
  const [virtual, api] = await Promise.all([get("/v1/virtual-keys"), get("/v1/api-keys")]);
  return [
    h("h1", {}, "Keys"),
    h("div", { class: "stack" },
      h("section", { class: "card" }, h("h2", {}, "Virtual keys: of providers"), table([
        { name: "Slug", of: (k) => k.slug }, { name: "Name", of: (k) => k.name || NONE }, { name: "Provider", of: (k) => k.provider },
        { name: "Host", class: "text", of: (k) => k.custom_host || NONE }, { name: "Limits", class: "text", of: limits }, status,
        { name: "Expires", of: (k) => when(k.expires_at) }, changed], virtual.data, "No keys are stored. pkd key put SLUG PROVIDER stores one.")),
      h("section", { class: "card" }, h("h2", {}, "API keys: of this gateway"), table([
        { name: "Name", of: (k) => k.name || k.id }, { name: "Scopes", class: "text", of: (k) => (k.scopes || []).join(", ") || NONE },
        { name: "Limits", class: "text", of: limits }, status, { name: "Expires", of: (k) => when(k.expires_at) }, changed],
        api.data, "There are none: whoever reaches this port may use it. pkd apikey create NAME makes one."))),
  ];
}

const KNOWN = new Set(["id", "slug", "name", "counts", "amount", "per", "rolling", "alert_threshold", "used", "reserved", "remaining", "resets_at", "owned",
  "created_at", "last_updated_at", "object"]);

async function limitList() {
  const [{ data }, alerts] = await Promise.all([get("/v1/limits"), get("/v1/alerts")]);
  const amount = (l, n) => (l.counts === "cost" ? dollars(n) : count(n));
  const told = h("section", { class: "card" }, h("h2", {}, "Alerts"), table([
    { name: "Time", of: (a) => when(a.at) }, { name: "What", of: (a) => h("span", { class: "warn" }, a.kind) }, { name: "Limit", of: (a) => a.slug },
    { name: "Whose", class: "text", of: (a) => `${a.applies_to || ""} ${a.subject || ""}`.trim() || "everybody's" },
    { name: "Threshold", class: "number", of: (a) => amount(a, a.alert_threshold) },
    { name: "Of", class: "number", of: (a) => `${amount(a, a.amount)} per ${a.per}` }], alerts.data, "None."));
  return [h("h1", {}, "Limits"), h("div", { class: "stack" }, told, h("section", { class: "card" }, table([
    { name: "Slug", of: (l) => l.slug },
    { name: "Applies to", class: "text", of: (l) => Object.entries(l).filter(([k, v]) => !KNOWN.has(k) && v !== null).map(([k, v]) => `${k} ${typeof v === "string" ? v : JSON.stringify(v)}`).join(", ") || "everything" },
    { name: "Counts", of: (l) => `${l.counts} per ${l.per}${l.rolling ? ", rolling" : ""}` },
    { name: "Used", class: "number", of: (l) => (l.used === null || l.used === undefined ? NONE : amount(l, l.used)) },
    { name: "", of: (l) => h("meter", { min: 0, max: l.amount, value: l.used || 0, high: l.alert_threshold || l.amount * 0.9, "aria-label": "used" }) },
    { name: "Of", class: "number", of: (l) => amount(l, l.amount) },
    { name: "Begins anew", of: (l) => when(l.resets_at) }], data, "There are none. pkd limit put SLUG sets one.")))];
}

// --- where we are ----------------------------------------------------------------------------

const VIEWS = { overview, logs: (path, query) => (path.length ? log(path) : logs(path, query)), configs, keys, limits: limitList, prompts, guardrails };

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { name: VIEWS[name] ? name : "overview", rest, query: Object.fromEntries(new URLSearchParams(query || "")) };
}

let drawn = 0;

async function draw() {
  const mine = ++drawn, { name, rest, query } = place();
  for (const a of document.querySelectorAll("nav a")) {
    if (a.getAttribute("href") === `#/${name}`) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${name[0].toUpperCase()}${name.slice(1)} - pk`;
  main.setAttribute("aria-busy", "true");
  let content;
  try {
    content = await VIEWS[name](rest, query);
  } catch (problem) {
    content = h("p", { class: "card alert", role: "alert" }, problem.message);
    if (mine === drawn && problem.status === 401) askKey(problem.message);
  }
  if (mine !== drawn) return; // another place was asked for meanwhile
  main.removeAttribute("aria-busy");
  main.replaceChildren(...[content].flat(Infinity).filter((part) => part instanceof Node));
}

// --- the key ---------------------------------------------------------------------------------

const dialog = document.getElementById("ask-key"), input = document.getElementById("key");

function askKey(why) {
  if (why) document.getElementById("ask-key-why").textContent = why;
  input.value = "";
  if (!dialog.open) dialog.showModal();
  input.focus();
}

dialog.addEventListener("close", () => {
  if (dialog.returnValue === "use") key.set(input.value.trim());
  else if (dialog.returnValue === "forget") key.set("");
  else return;
  dialog.returnValue = "";
  draw();
});
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    dialog.close("use");
  }
});
document.getElementById("change-key").addEventListener("click", () => askKey());

// --- when to draw ----------------------------------------------------------------------------

let width = innerWidth, resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    if (innerWidth === width) return;
    width = innerWidth;
    if (place().name === "overview") draw();
  }, 200);
});
addEventListener("hashchange", () => {
  if (location.hash === "#main") return; // the link that skips
  draw().then(() => main.focus({ preventScroll: true }));
  scrollTo(0, 0);
});
draw();
