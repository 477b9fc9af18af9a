// Times and sizes for people. Unix times in seconds come in.
import { locale, t } from "./i18n.js";
import { h } from "./dom.js";

const STEPS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** "3 min", "2 h": one unit. */
export function span(seconds) {
  const size = Math.abs(seconds);
  for (const [unit, length] of STEPS) if (size >= length) return `${Math.floor(size / length)} ${unit}`;
  return size > 0 ? `${Math.round(size * 1000)} ms` : "0 s";
}

export function ago(time, now = Date.now() / 1000) {
  if (!time) return t("base.never");
  const seconds = now - time;
  if (Math.abs(seconds) < 1) return t("base.now");
  return t(seconds > 0 ? "base.ago" : "base.in", { n: span(seconds) });
}

export const full = (time) => new Date(time * 1000).toLocaleString(locale, { dateStyle: "medium", timeStyle: "medium" });

/** A <time> that says how long ago, and the whole instant as its title. */
export function when(time) {
  if (!time) return h("span.muted", {}, t("base.never"));
  return h("time", { datetime: new Date(time * 1000).toISOString(), title: full(time), dataset: { time } }, ago(time));
}

/** Keeps the <time> elements of a page true. */
export function keepTimes() {
  setInterval(() => {
    for (const one of document.querySelectorAll("time[data-time]")) one.textContent = ago(Number(one.dataset.time));
  }, 5000);
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  return value >= 10000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024 || unit === "GiB") return `${size < 10 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1024;
  }
  return "";
}
