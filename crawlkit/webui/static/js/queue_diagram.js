// The way of a task through components and queues; what is unknown is ???. Used by the dashboard and the page of queues.
import { fill, h } from "./dom.js";
import { base } from "./api.js";
import { live } from "./live.js";
import { bytes } from "./time.js";
import { number, t } from "./i18n.js";

const NODES = ["api", "scheduler", "fetcher", "processor", "result_worker"];
const WAY = ["newtask_queue", "scheduler2fetcher", "fetcher2processor", "processor2result"];
const BACK = "status_queue";
const NEARLY = 0.9;

export const known = (value) => (value === null || value === undefined ? t("queues.unknown") : number(value));

/** Messages a second for people. */
export function rate(value) {
  if (value === null || value === undefined) return t("queues.unknown");
  return t("queues.per_second", { n: value >= 10 ? number(Math.round(value)) : value < 0.05 ? "0" : value.toFixed(1) });
}

/** The share of its bounds that a queue has used, 0 to 1; of what waits in messages, of all of it in bytes. */
export function fullness(queue) {
  if (!queue || queue.messages === null) return 0;
  const waiting = queue.messages - (queue.unacked ?? 0);
  const shares = [queue.max_messages ? waiting / queue.max_messages : 0, queue.max_bytes ? queue.bytes / queue.max_bytes : 0];
  return Math.min(1, Math.max(...shares));
}

/** Mounts the diagram and keeps it up to date; returns a function that ends that. */
export function mountQueueDiagram(element) {
  const update = queueDiagram(element);
  return live("queues", {}, (state) => update(state), (problem) => problem && update([]));
}

/** Mounts the diagram; returns `update(queues)`, to be called with a list of queues of the API, or a Map of them. */
export function queueDiagram(element) {
  wear();
  const boxes = new Map([...WAY, BACK].map((name) => [name, queueBox(name)]));
  fill(element, h("div.qd", {},
    NODES.flatMap((name, index) => [nodeBox(name), index < WAY.length ? boxes.get(WAY[index]).element : null]),
    boxes.get(BACK).element));
  return (queues) => {
    const byName = queues instanceof Map ? queues : new Map(queues.map((one) => [one.name, one]));
    for (const [name, box] of boxes) box.update(byName.get(name));
  };
}

// The diagram brings its own style sheet, whatever page it is on.
function wear() {
  const href = `${base}/static/css/queue_diagram.css`;
  if (!document.querySelector(`link[href="${href}"]`)) document.head.append(h("link", { rel: "stylesheet", href }));
}

function nodeBox(name) {
  return h("div.qd-node", { class: `qd-${name}` }, t(`queues.${name}`));
}

function queueBox(name) {
  const count = h("b.qd-count", {}, t("queues.unknown"));
  const bound = h("span.qd-bound");
  const size = h("span");
  const speed = h("span.qd-speed");
  const level = h("i");
  const element = h("div.qd-queue", { class: name === BACK ? "qd-back" : null, role: "img" },
    h("span.qd-name", {}, name), h("span.qd-figure", {}, count, " ", bound),
    h("span.bar.qd-level", {}, level), h("span.qd-more", {}, size, speed));

  function update(queue) {
    const share = fullness(queue);
    const unknown = !queue || queue.messages === null;
    count.textContent = known(queue?.messages);
    bound.textContent = queue?.max_messages ? t("queues.of", { n: number(queue.max_messages) }) : "";
    size.textContent = unknown ? "" : bytes(queue.bytes);
    speed.textContent = unknown ? "" : rate(queue.rate_out);
    level.style.width = `${Math.round(100 * share)}%`;
    level.className = share >= NEARLY ? "retry" : "wait";
    element.classList.toggle("unknown", unknown);
    element.classList.toggle("nearly", share >= NEARLY);
    element.setAttribute("aria-label", t("queues.label", {
      queue: name, messages: known(queue?.messages), size: unknown ? t("queues.unknown") : bytes(queue.bytes),
      source: t(`queues.${queue?.source ?? "workers"}`), target: t(`queues.${queue?.target ?? "scheduler"}`) }));
  }
  update(undefined);
  return { element, update };
}
