// The queues: the diagram, and all that is known of each.
import { $, fill, h } from "./dom.js";
import { live } from "./live.js";
import { fullness, known, queueDiagram, rate } from "./queue_diagram.js";
import { bytes } from "./time.js";
import { number, t } from "./i18n.js";

const ORDER = ["newtask_queue", "scheduler2fetcher", "fetcher2processor", "processor2result", "status_queue"];
const MORE = /^status_queue_(\d+)$/; // of further partitions
const update = queueDiagram($("#diagram"));
const body = h("tbody");

function bound(value, limit, show) {
  if (value === null) return t("queues.unknown");
  return [show(value), " ", limit ? h("span.muted", {}, t("queues.of", { n: show(limit) })) : limit === 0 ? h("span.muted", {}, t("queues.no_bound")) : null];
}

function row(queue) {
  const share = fullness(queue);
  const cell = (title, ...content) => h("td.num", { "data-label": title }, content);
  return h("tr", { dataset: { key: queue.name } },
    h("th", { scope: "row" }, h("code", {}, queue.name), share >= 0.9 ? [" ", h("span.badge.warn", {}, t("queues.full"))] : null),
    h("td.optional", {}, `${t(`queues.${queue.source}`)} → ${t(`queues.${queue.target}`)}`),
    cell(t("queues.messages"), bound(queue.messages, queue.max_messages, number)),
    cell(t("queues.unacked"), known(queue.unacked)),
    cell(t("queues.bytes"), bound(queue.bytes, queue.max_bytes, bytes)),
    cell(t("queues.in"), rate(queue.rate_in)),
    cell(t("queues.out"), rate(queue.rate_out)),
    cell(t("queues.dead"), queue.dead ? h("span.bad", {}, number(queue.dead)) : known(queue.dead)));
}

const head = ["messages", "unacked", "bytes", "in", "out", "dead"].map((name) => h("th.num", { scope: "col" }, t(`queues.${name}`)));
fill($("#queues"), h("div.tablebox", {}, h("table.stacked", {}, h("caption.visually-hidden", {}, t("queues.table")),
  h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("queues.name")), h("th.optional", { scope: "col" }, t("queues.way")), head)), body)));

function problem(words) {
  $("#problem").textContent = words ? t("queues.problem", { detail: words }) : "";
  $("#problem").hidden = !words;
}

live("queues", {}, (state) => {
  const more = [...state.keys()].filter((name) => MORE.test(name)).sort((a, b) => MORE.exec(a)[1] - MORE.exec(b)[1]);
  const queues = [...ORDER, ...more].map((name) => state.get(name)).filter(Boolean);
  update(state);
  fill(body, queues.map(row));
  problem(state.get("problem"));
}, (trouble) => {
  if (!trouble) return;
  problem(trouble.detail || trouble.title);
  update([]);
});
