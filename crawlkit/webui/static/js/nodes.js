// The processes that take part, kept up to date.
import { $, fill, h } from "./dom.js";
import { url } from "./api.js";
import { live } from "./live.js";
import { bytes, span, when } from "./time.js";
import { number, t } from "./i18n.js";

// What each role tells of itself, in the order in which it is shown; of the first of each the speed is shown too.
const TELLS = {
  scheduler: ["turns", "leased"],
  fetcher: ["fetched", "inflight", "errors"],
  processor: ["processed", "running", "workers", "backlog", "failed"],
  result_worker: ["results", "discarded", "known"],
};
const ALWAYS = new Set(["fetched", "processed", "results", "leased", "turns"]);
const before = new Map(); // node -> [seen, first figure, speed]
const body = h("tbody");
let nodes = [];

function speed(node) {
  const name = TELLS[node.role]?.[0];
  const figure = name && node.stats[name];
  const [seen, old, last] = before.get(node.node) ?? [];
  if (figure === undefined || !node.alive) return null;
  if (seen === node.seen) return last ?? null;
  const value = seen === undefined || figure < old ? null : (figure - old) / (node.seen - seen);
  before.set(node.node, [node.seen, figure, value]);
  return value;
}

function does(node) {
  const shown = (Object.hasOwn(TELLS, node.role) ? TELLS[node.role] : []).filter((name) => ALWAYS.has(name) || node.stats[name]);
  const said = shown.map((name) => t(`nodes.stat_${name}`, { n: number(node.stats[name] ?? 0) }));
  const pace = speed(node);
  return [said.join(" · "), pace ? h("span.muted", {}, ` · ${t("nodes.pace", { n: pace >= 10 ? number(Math.round(pace)) : pace.toFixed(1) })}`) : null];
}

function meter(cpu) {
  if (cpu === null) return "–";
  const level = h("i", { class: cpu > 90 ? "retry" : "wait" });
  level.style.width = `${Math.min(100, cpu)}%`;
  return h("span.meter", {}, h("span.num", {}, `${cpu >= 10 ? Math.round(cpu) : cpu.toFixed(1)} %`), h("span.bar", {}, level));
}

function row(node) {
  const cell = (title, ...content) => h("td", { "data-label": title }, content);
  const logs = h("a", { href: `${url("/logs")}?node=${encodeURIComponent(node.node)}`, title: t("nodes.logs_of", { node: node.node }) }, t("nodes.logs"));
  return h("tr", { class: node.alive ? null : "gone", dataset: { key: node.node } },
    h("th", { scope: "row", title: node.node }, h("span.dot", { class: node.alive ? "good" : "off" }), h("span.visually-hidden", {}, t(node.alive ? "nodes.alive" : "nodes.gone")), node.role),
    cell(t("nodes.host"), node.host), h("td.num", { "data-label": t("nodes.pid") }, String(node.pid)),
    h("td.optional", { "data-label": t("nodes.version") }, node.version),
    h("td.num", { "data-label": t("nodes.uptime") }, span(node.seen - node.started)),
    cell(t("nodes.seen"), node.alive ? when(node.seen) : [h("span.badge", {}, t("nodes.gone")), " ", when(node.seen)]),
    h("td.num", { "data-label": t("nodes.cpu") }, meter(node.cpu)), h("td.num", { "data-label": t("nodes.memory") }, bytes(node.rss)),
    h("td.wrap", { "data-label": t("nodes.does") }, node.alive ? does(node) : ""), h("td", {}, logs));
}

function tile(title, value) {
  return h("div.tile", {}, h("span.muted", {}, title), h("b", {}, value));
}

function draw() {
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : null;
  const alive = nodes.filter((node) => node.alive);
  const sum = (name) => alive.reduce((total, node) => total + (node[name] ?? 0), 0);
  fill($("#summary"), tile(t("nodes.running"), number(alive.length)), tile(t("nodes.hosts"), number(new Set(alive.map((node) => node.host)).size)),
    tile(t("nodes.cpu_all"), `${Math.round(sum("cpu"))} %`), tile(t("nodes.memory_all"), bytes(sum("rss"))));
  const shown = $("#gone").checked ? nodes : alive;
  fill(body, shown.length ? shown.map(row) : h("tr", {}, h("td.muted", { colspan: 10 }, t("nodes.none"))));
  if (focused) body.querySelector(`tr[data-key="${CSS.escape(focused)}"] a`)?.focus();
}

const head = (name, ...classes) => h("th", { scope: "col", class: classes.join(" ") || null }, t(`nodes.${name}`));
fill($("#nodes"), h("div.tablebox", {}, h("table.stacked.nodes", {}, h("caption.visually-hidden", {}, t("nodes.title")),
  h("thead", {}, h("tr", {}, head("role"), head("host"), head("pid", "num"), head("version", "optional"), head("uptime", "num"), head("seen"),
    head("cpu", "num"), head("memory", "num"), head("does"), head("logs"))), body)));
$("#gone").addEventListener("change", draw);

const order = (a, b) => b.alive - a.alive || (a.alive ? a.role.localeCompare(b.role) || a.node.localeCompare(b.node) : b.seen - a.seen);
live("nodes", {}, (state) => {
  nodes = [...state.values()].sort(order);
  $("#nodes").removeAttribute("aria-busy");
  draw();
}, (trouble) => trouble && $("#nodes").removeAttribute("aria-busy"));
