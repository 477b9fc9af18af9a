// What a browser made of the page: picture, PDF, what the page asked its server for, its console.
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { bytes } from "../time.js";
import { toast } from "../toast.js";
import { answers, consoleLines, counts } from "../rendered.js";
import { outside } from "../taskparts.js";

export function browserTab({ response, json_sources: sources, callback }, { addMethod }) {
  const { screenshot, pdf, xhr, console: lines, counts: said } = response.rendered;
  const count = counts(said);
  return [h("div.stack", {},
    count && h("p.muted", {}, count),
    sources?.length ? h("section.sources", {}, h("h3", {}, t("browser.sources")), h("p.muted", {}, t("browser.sources.why")), sources.map((one) => source(one, callback, addMethod))) : null,
    screenshot && h("section", {}, h("h3", {}, t("browser.screenshot")), picture(screenshot)),
    pdf && h("section", {}, h("h3", {}, "PDF"), document_(pdf)),
    xhr?.length ? h("section", {}, answers(xhr, xhr.length, body)) : null,
    lines?.length ? h("section", {}, consoleLines(lines)) : null,
    !count && !screenshot && !pdf && !xhr?.length && !lines?.length && h("p.empty", {}, t("browser.nothing")))];
}

/** A JSON answer that holds what the callback gave, with the code that takes it from there. */
function source(one, callback, addMethod) {
  const [call, , def, ...lines] = one.code.split("\n");
  const method = [def, `    # ${call}`, ...lines];
  return h("article.source", {},
    h("p", {}, h("span.muted", {}, one.method), " ", outside(one.url)),
    h("table", {}, h("tbody", {}, one.fields.map((field) => h("tr", {},
      h("td.mono", {}, field.field), h("td.mono.wrap", {}, field.path, field.cents && " / 100"), h("td.wrap.muted", {}, field.value))))),
    one.missing.length ? h("p.muted", {}, t("browser.sources.missing", { names: one.missing.join(", ") })) : null,
    h("pre", { tabIndex: 0 }, one.code),
    h("p", {},
      addMethod && h("button.button.small", { type: "button", onclick: () => addMethod(method, callback) }, t("browser.sources.insert")), " ",
      h("button.button.small", { type: "button", onclick: () => copy(one.code) }, t("browser.sources.copy"))));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("browser.copied"), { kind: "good" });
  } catch {
    toast(t("browser.not_copied"));
  }
}

const kept = (file) => h("p.muted", {}, t("browser.not_kept", { size: bytes(file.bytes) }));

/** Out of a data: URL, which h() does not take as a place. */
function picture(file) {
  if (!/^data:image\/(png|jpeg);base64,/.test(file.data_url ?? "")) return kept(file);
  const image = h("img.fetched-image.framed", { alt: t("browser.screenshot") });
  image.src = file.data_url;
  return image;
}

function document_(file) {
  if (!file.data_url?.startsWith("data:application/pdf;base64,")) return kept(file);
  const link = h("a.button", { download: "page.pdf" }, t("browser.pdf"));
  link.setAttribute("href", file.data_url);
  return h("p", {}, link, h("span.muted.small", {}, ` ${bytes(file.bytes)}`));
}

const body = (one) => (one.body ? h("details", {}, h("summary.small", {}, t("browser.body")), h("pre", { tabIndex: 0 }, readable(one.body))) : null);

function readable(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
