// The page as it came: its text, coloured and searchable.
import { get } from "../api.js";
import { h } from "../dom.js";
import { number, t } from "../i18n.js";
import { bytes } from "../time.js";
import { oops } from "../toast.js";
import { reader, replaceAll } from "./editor.js";
import { indented } from "./indented.js";

const LONGEST = 1_000_000; // characters that are indented
const kindOf = (type, text) => (/json/.test(type) ? "json" : /html|xml/.test(type) || /^\s*</.test(text) ? "html" : "text");

export function sourceTab({ response, page }, project) {
  if (!response) return [h("p.empty", {}, t("debug.no_page"))];
  if (response.text === null) {
    return [h("div.stack", {}, response.data_url ? picture(response.data_url) : h("p.empty", {}, t("debug.binary", { type: response.content_type || "?", size: bytes(response.size) })))];
  }
  const box = h("div.sourcebox");
  const kind = kindOf(response.content_type ?? "", response.text);
  const view = reader(box, response.text, t("debug.html"), kind);
  const more = response.truncated && page && moreButton(project, page, view);
  return [more, !more && kind !== "text" && response.text.length < LONGEST && indentButton(view, response.text, kind), box];
}

/** Shows the text indented, or as it came. */
function indentButton(view, text, kind) {
  let on = false;
  const button = h("button.button.small", { type: "button", "aria-pressed": "false", onclick: () => {
    on = !on;
    button.setAttribute("aria-pressed", String(on));
    replaceAll(view, on ? readable(text, kind) : text);
  } }, t("debug.indented"));
  return h("div.sourcebar", {}, button);
}

function readable(text, kind) {
  if (kind === "html") return indented(text);
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

/** Adds what was left out, a part at a time. */
function moreButton(project, page, view) {
  const line = h("p.muted", {}, t("debug.cut_at", { n: number(view.state.doc.length) }), " ", h("button.link", { type: "button",
    onclick: async () => {
      try {
        const part = await get(`/projects/${project}/debug/pages/${page}/text`, { offset: view.state.doc.length, limit: 1_000_000 });
        view.dispatch({ changes: { from: view.state.doc.length, insert: part.text } });
        if (part.next === null) line.remove();
      } catch (error) { oops(error); }
    } }, t("debug.more")));
  return line;
}

/** An image out of a data: URL, which h() does not take as a place. */
function picture(address) {
  const image = h("img.fetched-image", { alt: t("debug.fetched_image") });
  if (address.startsWith("data:image/")) image.src = address;
  return image;
}
