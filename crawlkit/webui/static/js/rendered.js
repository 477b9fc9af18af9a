// What a browser made of a page: the picture, the PDF, what the page asked for and what it wrote to its console.
import { h } from "./dom.js";
import { url } from "./api.js";
import { number, t } from "./i18n.js";
import { bytes } from "./time.js";
import { outside } from "./taskparts.js";

const COUNTS = ["requests", "blocked", "refused", "bytes"];

/** "Requests: 37 · blocked: 12 · 640 KiB loaded": as far as it is known. */
export function counts(said = {}) {
  const known = COUNTS.filter((name) => Number.isFinite(said[name]) && (said[name] > 0 || name === "requests"));
  return known.map((name) => t(`browser.count_${name}`, { n: name === "bytes" ? bytes(said[name]) : number(said[name]) })).join(" · ");
}

/** The picture as it fits, with a link to all of it. `source`: its address, or a data URL. */
export function picture(source, file) {
  return h("figure.shot", {},
    h("a", { href: source, target: "_blank", rel: "noopener", title: t("browser.whole") },
      h("img", { src: source, alt: t("browser.screenshot"), loading: "lazy" })),
    h("figcaption.muted.small", {}, t("browser.screenshot"), ` · ${bytes(file.bytes)} · `, h("code.wrap", {}, file.path)));
}

export function pdfLink(source, file) {
  return h("p", {}, h("a.button", { href: source, download: "page.pdf" }, t("browser.pdf")),
    h("span.muted.small", {}, ` ${bytes(file.bytes)} · `, h("code.wrap", {}, file.path)));
}

/** The answers to what the page asked its server for. `more(one)`: what is shown below each. */
export function answers(list, total = list.length, more = () => null) {
  return [h("h3", {}, t("browser.xhr", { n: number(total) })),
    h("ul.xhr", {}, list.map((one) => h("li", {},
      h("span.badge", { class: one.status >= 200 && one.status < 300 ? "good" : "warn" }, String(one.status || "–")), " ",
      h("span.muted", {}, one.method), " ", outside(one.url),
      h("span.muted.small", {}, ` ${one.content_type || ""}${one.size ? ` · ${bytes(one.size)}` : ""}${one.truncated ? ` · ${t("browser.truncated")}` : ""}`),
      more(one))),
      total > list.length && h("li.muted", {}, t("browser.more", { n: number(total - list.length) })))];
}

export const consoleLines = (lines) => [h("h3", {}, t("browser.console")), h("pre", { tabIndex: 0 }, lines.join("\n"))];

/** All of it for an attempt. Only the newest one's files are still there: `current`. */
export function browserParts(rendered, { project, taskid }, current) {
  const at = (name) => url(`/task-file/${name}/${project}:${encodeURIComponent(taskid)}`);
  const { screenshot, pdf, xhr, console: lines } = rendered;
  const type = screenshot?.path?.endsWith(".jpg") ? "jpg" : "png";
  const said = counts(rendered.counts);
  return [
    h("h3", {}, t("browser.title")),
    said && h("p.muted", {}, said),
    screenshot && current && picture(`${at(`screenshot.${type}`)}?${screenshot.sha256.slice(0, 12)}`, screenshot),
    pdf && current && pdfLink(at("page.pdf"), pdf),
    xhr?.length ? answers(xhr, rendered.xhr_count) : null,
    lines?.length ? consoleLines(lines) : null];
}
