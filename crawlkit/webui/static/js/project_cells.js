// How a project looks in a list and on its own page: bars, sparklines, words.
import { h } from "./dom.js";
import { number, t } from "./i18n.js";
import { span } from "./time.js";

export const ACTIVE = new Set(["RUNNING", "DEBUG"]);
const TONES = { RUNNING: "good", DEBUG: "info", CHECKING: "warn", TODO: "", STOP: "" };
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 92;
const HEIGHT = 24;

/** Its status as a badge; a pause comes first, then a script that does not load. */
export function statusBadge(project) {
  const paused = ACTIVE.has(project.status) && project.paused !== "running";
  const words = paused ? t(`dashboard.paused.${project.paused}`) : project.status;
  const title = paused ? t(`dashboard.paused.${project.paused}.why`, { n: number(project.max_pages ?? 0) }) : t(`dashboard.status.${project.status}`);
  return h("span.badge", { class: paused ? "warn" : TONES[project.status], title }, words);
}

export const rateText = (project) => {
  const rate = project.rate === null ? t("dashboard.unlimited") : String(project.rate);
  return `${rate} / ${project.burst}`;
};

/** A bar of [new or waiting, done, retried, failed]; `label` begins its words. */
export function progressBar(counts, label, first) {
  const [waiting, done, retried, failed] = counts ?? [0, 0, 0, 0];
  // what is new and not done yet: the bar is of tasks, not of events
  const todo = first === "waiting" ? waiting : Math.max(0, waiting - done - failed);
  const total = todo + done + retried + failed;
  const percent = (n) => (total ? `${Math.round((n / total) * 100)} %` : "0 %");
  const words = [
    `${t(`dashboard.${first}`)} ${number(waiting)}`,
    `${t("dashboard.done")} ${number(done)} (${percent(done)})`,
    `${t("dashboard.retried")} ${number(retried)} (${percent(retried)})`,
    `${t("dashboard.failed")} ${number(failed)} (${percent(failed)})`,
  ].join("\n");
  const part = (kind, n) => n > 0 && h("i", { class: kind, style: { flexGrow: n, minWidth: "2px" } });
  const shown = first === "waiting" ? waiting + done + failed : Math.max(waiting, done + failed);
  return h("div.progress", { title: `${label}\n${words}`, role: "img", "aria-label": `${label}: ${words.replaceAll("\n", ", ")}` },
    h("span.total", { class: total ? null : "muted" }, total ? compact(shown) : "–"),
    h("div.bar", {}, part("wait", todo), part("good", done), part("retry", retried), part("bad", failed)));
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format;
export const compact = (n) => (n < 10000 ? number(n) : short(n));

/** The last five minutes as a line, scaled to its own highest point. */
export function sparkline(points) {
  const box = document.createElementNS(SVG, "svg");
  box.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  box.setAttribute("class", "spark");
  box.setAttribute("aria-hidden", "true");
  if (!points.length) return box;
  const top = Math.max(...points, 1);
  const x = (i) => (i / (points.length - 1)) * WIDTH;
  const y = (n) => HEIGHT - 2 - (n / top) * (HEIGHT - 4);
  const line = points.map((n, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(n).toFixed(1)}`).join("");
  const path = (d, name) => {
    const one = document.createElementNS(SVG, "path");
    one.setAttribute("d", d);
    one.setAttribute("class", name);
    box.append(one);
  };
  path(`${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`, "area");
  path(line, "line");
  return box;
}

export function speedText(project) {
  if (!project.spark.length) return "–";
  const digits = project.speed < 10 ? 1 : 0;
  return t("dashboard.per_second", { n: project.speed.toFixed(digits) });
}

/** "12–30 min", "over 2 h", "–": a guess, said as one. */
export function etaText(project) {
  if (!project.eta) return "–";
  const [low, high] = project.eta.map((one) => (one === null ? null : Math.max(1, one)));
  if (high === null) return t("dashboard.eta_open", { low: span(low) });
  return span(low) === span(high) ? `≈ ${span(low)}` : `${span(low)} – ${span(high)}`;
}

export const etaTitle = (project) => (project.eta ? t(project.eta[1] === null ? "dashboard.eta_open.why" : "dashboard.eta.why") : t("dashboard.eta_none.why"));

export function timeText(project) {
  if (project.fetch_ms === null || project.fetch_ms === undefined) return "–";
  return `${Math.round(project.fetch_ms)}+${Math.round(project.process_ms ?? 0)} ms`;
}
