// Charts of what a project did, on uPlot. Colours come from the page's tokens.
import uPlot from "../vendor/uplot.js";
import { fill, h } from "./dom.js";
import { locale, number, t } from "./i18n.js";
import { bytes } from "./time.js";

const CLASSES = [["2", "2xx", "--bar-good"], ["3", "3xx", "--bar-wait"], ["4", "4xx", "--bar-retry"], ["5", "5xx", "--bar-bad"], ["0", "", "--muted"]];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let plots = [];
const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = plots.find((one) => one.root.parentElement === target);
    if (plot && contentRect.width > 40) plot.setSize({ width: Math.floor(contentRect.width), height: 200 });
  }
});

/** Every step from since to until: rows without anything are nought. */
function filled({ rows, since, until, step }, values) {
  const known = new Map(rows.map((row) => [row.start, row]));
  const times = [];
  for (let at = Math.ceil(since / step) * step; at < until; at += step) times.push(at);
  // the last step may have only begun
  return [times, ...values.map((value) => times.map((at) => value(known.get(at) ?? null, Math.min(step, until - at))))];
}

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric" });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

function timeTicks(splits) {
  let last = "";
  return splits.map((at) => {
    const date = new Date(at * 1000);
    const name = day.format(date);
    const wide = splits.at(-1) - splits[0] > 2 * 86400;
    const words = wide ? name : last && last !== name ? `${clock.format(date)}\n${name}` : clock.format(date);
    const again = wide && last === name;
    last = name;
    return again ? "" : words;
  });
}

function plot(box, data, series) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const made = new uPlot({
    width: Math.max(200, Math.floor(box.getBoundingClientRect().width)), height: 200,
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 0.001) * 1.1] } },
    axes: [{ ...axis, values: (_, splits) => timeTicks(splits) }, { ...axis, size: 56, values: (_, ticks) => ticks.map((one) => compactTick(one)) }],
    series: [{ label: t("project.time"), value: (_, at) => (at === null ? "" : whole.format(new Date(at * 1000))) }, ...series.map(({ label, token, area, gaps, digits = 0 }) => ({
      label, stroke: colour(token), width: 1.5, spanGaps: Boolean(gaps), points: { show: Boolean(gaps), size: 4 }, fill: area ? `${colour(token)}26` : undefined,
      value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(digits)) }))],
  }, data, box);
  plots.push(made);
  watcher.observe(box);
}

const compactTick = (value) => (value >= 1000 ? `${value / 1000}k` : String(Math.round(value * 1000) / 1000));
const classOf = (row, digit) => Object.entries(row.codes).reduce((sum, [code, n]) => sum + (code[0] === digit && (digit !== "0" || code === "0") ? n : 0), 0);

function summary(found) {
  const sum = { codes: {}, reasons: {}, hosts: {}, done: 0, failed: 0, retried: 0 };
  for (const row of found.rows) {
    for (const key of ["done", "failed", "retried"]) sum[key] += row[key];
    for (const [key, n] of Object.entries(row.reasons)) sum.reasons[key] = (sum.reasons[key] ?? 0) + n;
    for (const [key, [size, tries]] of Object.entries(row.hosts)) {
      const known = sum.hosts[key] ?? [0, 0];
      sum.hosts[key] = [known[0] + size, known[1] + tries];
    }
  }
  return sum;
}

function bars(head, entries, most) {
  return h("div.tablebox", {}, h("table.hosttable", {}, h("thead", {}, h("tr", {}, head.map((one, place) => h("th", { scope: "col", class: place ? "num" : null }, one)))),
    h("tbody", {}, entries.map(([label, share, ...cells]) => h("tr", {}, h("td.wrap", {}, label,
      h("div.bar", {}, h("i.wait", { style: { width: `${most ? (share / most) * 100 : 0}%` } }))), cells.map((one) => h("td.num", {}, one)))))));
}

export function drawCharts(box, found) {
  for (const one of plots) { watcher.unobserve(one.root.parentElement); one.destroy(); }
  plots = [];
  const card = (title) => {
    const body = h("div.plot");
    return { body, element: h("section.card.chart", { "aria-label": title }, h("h3", {}, title), body) };
  };
  const hour = found.step >= 3600;
  const parts = { pages: card(t("project.pages")), codes: card(t(hour ? "project.codes_hour" : "project.codes")), times: card(t("project.times")) };
  const sum = summary(found);
  const hosts = Object.entries(sum.hosts).sort((a, b) => b[1][0] - a[1][0]).slice(0, 12);
  const reasons = Object.entries(sum.reasons).sort((a, b) => b[1] - a[1]).slice(0, 12);
  fill(box, Object.values(parts).map((one) => one.element),
    h("section.card.chart", {}, h("h3", {}, t("project.bytes")), hosts.length
      ? bars([t("project.host"), t("project.size"), t("project.tries")],
        hosts.map(([name, [size, tries]]) => [name || t("project.others"), size, bytes(size), number(tries)]), hosts[0][1][0])
      : h("p.none", {}, t("project.nothing"))),
    reasons.length > 0 && h("section.card.chart", {}, h("h3", {}, t("project.reasons")),
      bars([t("project.reason"), t("project.tries")], reasons.map(([name, n]) => [name, n, number(n)]), reasons[0][1])));
  if (!found.rows.length) {
    for (const one of Object.values(parts)) fill(one.body, h("p.none", {}, t("project.nothing")));
    return;
  }
  const rate = (key) => (row, seconds) => (row ? row[key] / seconds : 0);
  plot(parts.pages.body, filled(found, [rate("done"), rate("retried"), rate("failed")]), [
    { label: t("project.done"), token: "--bar-good", area: true, digits: 2 }, { label: t("project.retried"), token: "--bar-retry", digits: 2 },
    { label: t("project.failed"), token: "--bar-bad", digits: 2 }]);
  const present = CLASSES.filter(([digit]) => found.rows.some((row) => classOf(row, digit)));
  const unit = hour ? 3600 : 60;
  plot(parts.codes.body, filled(found, present.map(([digit]) => (row, seconds) => (row ? (classOf(row, digit) / seconds) * unit : 0))),
    present.map(([, label, token]) => ({ label: label || t("project.no_answer"), token, digits: 1 })));
  const mean = (key) => (row) => { const n = row ? row.done + row.failed + row.retried : 0; return n ? (row[key] / n) * 1000 : null; };
  plot(parts.times.body, filled(found, [mean("fetch_time"), mean("process_time")]), [
    { label: t("project.fetch"), token: "--accent", gaps: true }, { label: t("project.process"), token: "--bar-retry", gaps: true }]);
}
