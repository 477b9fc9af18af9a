// The request, the response and how long each part of it took.
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { bytes, ms } from "../time.js";

const PARTS = ["queue", "dns", "connect", "tls", "wait", "receive"];

function timing(parts) {
  if (!parts || !parts.total) return null;
  const bar = h("div.timing", { role: "img", "aria-label": PARTS.filter((name) => parts[name] > 0).map((name) => `${t(`debug.timing.${name}`)} ${ms(parts[name] * 1000)}`).join(", ") },
    PARTS.map((name) => parts[name] > 0 && h(`i.t-${name}`, { style: { flexGrow: String(parts[name] * 1e6) } })));
  return h("div.timingbox", {}, bar, h("ul.legend", {}, PARTS.map((name) => parts[name] > 0
    && h("li", {}, h(`i.t-${name}`), `${t(`debug.timing.${name}`)} `, h("b.num", {}, ms(parts[name] * 1000))))));
}

const table = (title, pairs) => h("section", {}, h("h3", {}, title), pairs.length
  ? h("div.tablebox", {}, h("table.pairs", {}, h("tbody", {}, pairs.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td.mono.wrap", {}, String(value)))))))
  : h("p.muted", {}, t("debug.none")));

function hop(one) {
  return h("li", {}, h("span.badge", { class: one.status >= 400 ? "bad" : one.status >= 300 ? "warn" : "good" }, one.status || "–"), " ",
    h("span.mono.wrap", {}, `${one.method} ${one.url}`),
    h("span.muted", {}, ` ${one.address ?? ""} ${one.http ? `HTTP/${one.http}` : ""} ${one.timing?.total ? ms(one.timing.total * 1000) : ""}`));
}

export function headersTab({ request, response }) {
  if (!request && !response) return [h("p.empty", {}, t("debug.no_request"))];
  const parts = [];
  if (response) {
    parts.push(h("section", {}, h("h3", {}, t("debug.response")),
      h("p", {}, h("span.badge", { class: response.status >= 400 ? "bad" : "good" }, response.status), " ", h("span.mono.wrap", {}, response.url)),
      h("p.muted", {}, [response.content_type, response.encoding, bytes(response.size), response.time !== null && ms(response.time * 1000)].filter(Boolean).join(" · ")),
      response.error && h("p.bad", {}, response.error), timing(response.timing)));
  }
  if (request?.hops?.length > 1) parts.push(h("section", {}, h("h3", {}, t("debug.hops")), h("ol.hops", {}, request.hops.map(hop))));
  if (response) parts.push(table(t("debug.response_headers"), response.headers));
  if (response && Object.keys(response.cookies ?? {}).length) parts.push(table(t("debug.cookies"), Object.entries(response.cookies)));
  if (request) {
    parts.push(table(t("debug.request_headers"), request.headers));
    if (request.body) parts.push(h("section", {}, h("h3", {}, t("debug.request_body")), h("pre", {}, request.body)));
  }
  return [h("div.stack", {}, parts)];
}
