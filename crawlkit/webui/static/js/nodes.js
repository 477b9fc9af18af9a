// The processes that take part, kept up to date.
import { $, fill, h } from "./dom.js";
import { url } from "./api.js";
import { live } from "./live.js";
import { mountTable } from "./table.js";
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

function where(node) {
  const [mark, word] = node.alive ? [node.state === "alive" ? "good" : "warn", node.state] : ["off", node.state];
  return [h("span.dot", { class: mark }), h("span.visually-hidden", {}, t(`nodes.state_${word}`)), node.role];
}

function seen(node) {
  const badge = node.state === "alive" ? null : h("span.badge", { title: node.reason || null }, t(`nodes.state_${node.state}`));
  return [badge, badge && " ", when(node.seen), node.reason && h("div.muted", {}, node.reason)];
}

const rate = (value) => (value === null ? "–" : t("nodes.rate", { n: bytes(value) }));

function tile(title, value) {
  return h("div.tile", {}, h("span.muted", {}, title), h("b", {}, value));
}

function draw() {
  const alive = nodes.filter((node) => node.alive);
  const sum = (name) => alive.reduce((total, node) => total + (node[name] ?? 0), 0);
  fill($("#summary"), tile(t("nodes.running"), number(alive.length)), tile(t("nodes.hosts"), number(new Set(alive.map((node) => node.host)).size)),
    tile(t("nodes.cpu_all"), `${Math.round(sum("cpu"))} %`), tile(t("nodes.memory_all"), bytes(sum("rss"))),
    tile(t("nodes.network_all"), `${rate(sum("net_in"))} · ${rate(sum("net_out"))}`));
}

const any = ["", t("base.any")];
const words = (prefix, names) => names.map((name) => [name, t(`${prefix}${name}`)]);
const table = mountTable($("#nodes"), {
  endpoint: "/nodes", label: t("nodes.title"), empty: t("nodes.none"), rowKey: (node) => node.node, limit: 200,
  rowClass: (node) => (node.alive ? null : "gone"), tableClass: "nodes",
  fixed: () => ($("#gone").checked ? {} : { alive: "true" }),
  filters: [
    { name: "text", type: "search", label: t("nodes.name") },
    { name: "role", type: "select", label: t("nodes.role"), options: [any, ...["scheduler", "fetcher", "processor", "result_worker", "webui"].map((one) => [one, one])] },
    { name: "state", type: "select", label: t("nodes.state"), options: [any, ...words("nodes.state_", ["alive", "paused", "stopping", "stopped", "dead", "unknown"])] },
    { name: "host", type: "text", label: t("nodes.host") },
  ],
  columns: [
    { key: "role", sort: "role", title: t("nodes.role"), render: where },
    { key: "node", sort: "name", title: t("nodes.name"), optional: true },
    { key: "host", sort: "host", title: t("nodes.host") },
    { key: "pid", title: t("nodes.pid"), numeric: true, optional: true, render: (node) => String(node.pid) },
    { key: "version", sort: "version", title: t("nodes.version"), optional: true },
    { key: "started", sort: "since", title: t("nodes.uptime"), numeric: true, optional: true, render: (node) => span(node.seen - node.started) },
    { key: "seen", sort: "seen", title: t("nodes.seen"), render: seen },
    { key: "cpu", sort: "cpu", title: t("nodes.cpu"), numeric: true, render: (node) => meter(node.cpu) },
    { key: "rss", sort: "memory", title: t("nodes.memory"), numeric: true, render: (node) => bytes(node.rss) },
    { key: "net_in", sort: "in", title: t("nodes.in"), numeric: true, optional: true, render: (node) => rate(node.net_in) },
    { key: "net_out", sort: "out", title: t("nodes.out"), numeric: true, optional: true, render: (node) => rate(node.net_out) },
    { key: "inflight", sort: "inflight", title: t("nodes.inflight"), numeric: true, render: (node) => (node.inflight === null ? "–" : number(node.inflight)) },
    { key: "does", title: t("nodes.does"), optional: true, class: "wrap", render: (node) => (node.alive ? does(node) : "") },
    { key: "logs", title: t("nodes.logs"), render: (node) => h("a", { href: `${url("/logs")}?node=${encodeURIComponent(node.node)}`,
      title: t("nodes.logs_of", { node: node.node }) }, t("nodes.logs")) },
  ],
});
$("#gone").addEventListener("change", () => table.restart());
live("nodes", {}, (state) => {
  nodes = [...state.values()];
  draw();
  table.reload({ quiet: true });
});
