// What the callback gave: as a table and as JSON.
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { reader } from "./editor.js";

const COLUMNS = 40;
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function cell(value) {
  if (value === null || value === undefined) return h("span.muted", {}, value === null ? "null" : "–");
  if (typeof value === "string" && /^https?:\/\//.test(value)) return h("a", { href: value, rel: "noreferrer noopener", target: "_blank" }, value);
  return h("span", { class: typeof value === "string" ? null : "mono" }, typeof value === "string" ? value : JSON.stringify(value));
}

const kindOf = (value) => (value === null ? "null" : Array.isArray(value) ? `list ${value.length}` : isRecord(value) ? "dict"
  : { string: "text", number: "number", boolean: "yes/no" }[typeof value]);

function fields(record) {
  return h("div.tablebox", {}, h("table.pairs", {}, h("tbody", {}, Object.entries(record).map(([name, value]) => h("tr", {},
    h("th", { scope: "row" }, name), h("td.wrap", {}, cell(value)), h("td.muted.optional", {}, kindOf(value)))))));
}

function rows(results) {
  const names = [...new Set(results.flatMap((one) => (isRecord(one) ? Object.keys(one) : ["value"])))];
  const shown = names.slice(0, COLUMNS);
  const values = (one) => (isRecord(one) ? one : { value: one });
  return [names.length > COLUMNS && h("p.muted", {}, t("debug.columns_cut", { n: COLUMNS, total: names.length })),
    h("div.tablebox", { tabindex: "0", role: "region", "aria-label": t("debug.results") }, h("table", {},
      h("thead", {}, h("tr", {}, h("th.num", { scope: "col" }, "#"), shown.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, results.map((one, at) => h("tr", {}, h("td.num.muted", {}, at + 1), shown.map((name) => h("td", {}, h("div.clip", {}, cell(values(one)[name]))))))))) ];
}

let asJSON = false; // kept from step to step

export function resultsTab({ results, result_count: count, save }) {
  const box = h("div.stack");
  const draw = () => {
    box.replaceChildren();
    if (save && Object.keys(save).length) box.append(h("section", {}, h("h3", {}, "self.save"), h("pre", {}, JSON.stringify(save, null, 2))));
    if (!results.length) { box.prepend(h("p.empty", {}, t("debug.no_results"))); return; }
    const head = h("div.tabbar", {}, h("span.muted", {}, count > results.length ? t("debug.first_of", { n: results.length, total: count }) : ""),
      h("button.button.small", { type: "button", "aria-pressed": String(asJSON), onclick: () => { asJSON = !asJSON; draw(); box.querySelector("button").focus(); } }, t("debug.as_json")));
    box.prepend(head);
    const place = h("div.resultbox");
    head.after(place);
    if (asJSON) reader(place, results.map((one) => JSON.stringify(one, null, 2)).join("\n"), t("debug.results"), "json");
    else if (results.length === 1 && isRecord(results[0])) place.append(fields(results[0]));
    else place.append(...rows(results).filter(Boolean));
  };
  draw();
  return [box];
}
