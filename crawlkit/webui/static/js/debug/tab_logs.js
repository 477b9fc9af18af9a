// What was logged and what went wrong; numbers of lines lead into the script.
import { h } from "../dom.js";
import { t } from "../i18n.js";

const lineButton = (line, jump) => h("button.link.lineno", { type: "button", title: t("debug.go_to_line", { n: line }), onclick: () => jump(line) }, t("debug.line", { n: line }));

/** An error in words, with the way there through the script. */
export function errorBox(error, jump) {
  if (!error) return null;
  const frames = (error.frames ?? []).filter((one) => one.line);
  return h("div.errorbox", { role: "alert" },
    h("div", {}, h("strong.wrap", {}, error.message), " ", error.line && frames.length === 0 && lineButton(error.line, jump)),
    frames.length > 0 && h("ol.frames", {}, frames.map((one) => h("li", {}, lineButton(one.line, jump), " ", h("span.mono", {}, one.function), " ", h("code.wrap", {}, one.text)))));
}

export function logsTab({ log_lines: lines, awaits }, jump) {
  const parts = [];
  if (awaits?.length) {
    parts.push(h("section", {}, h("h3", {}, t("debug.awaits")), h("ol.frames", {}, awaits.map((one) => h("li", {},
      one.line && lineButton(one.line, jump), " ", h("span.badge", {}, one.status), " ", h("span.mono.wrap", {}, one.url))))));
  }
  if (lines.length) {
    parts.push(h("div.loglines", { role: "log", tabindex: "0", "aria-label": t("debug.logs") }, lines.map((one) => h("div.logline", {}, one.line ? lineButton(one.line, jump) : h("span.lineno"), h("span.wrap", {}, one.text)))));
  }
  return parts.length ? [h("div.stack", {}, parts)] : [h("p.empty", {}, t("debug.no_logs"))];
}
