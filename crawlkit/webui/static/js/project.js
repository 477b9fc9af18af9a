// One project: how it stands, what it did, when its crons come, its settings.
import { $, fill, h, meta } from "./dom.js";
import { del, get, put, url } from "./api.js";
import { drawCharts } from "./project_charts.js";
import { confirm } from "./dialog.js";
import { live } from "./live.js";
import { number, t } from "./i18n.js";
import { etaText, etaTitle, progressBar, rateText, sparkline, speedText, statusBadge, timeText } from "./project_cells.js";
import { groupEdit, rateEdit, statusEdit } from "./project_edits.js";
import { openMenu, run } from "./project_orders.js";
import { oops, toast } from "./toast.js";
import { when } from "./time.js";

const name = $("#project").dataset.project;
const place = `/projects/${encodeURIComponent(name)}`;
const editor = meta("role") !== "viewer";
const RANGES = [["1h", 3600, 60], ["6h", 21600, 300], ["1d", 86400, 900], ["7d", 604800, 3600], ["30d", 2592000, 21600]];
let range = RANGES.find(([key]) => key === new URLSearchParams(location.search).get("range")) ?? RANGES[0];
let shown = "";

// -- how it stands

function facts(item) {
  const sign = JSON.stringify({ ...item, updated: 0 });
  if (sign === shown || $("#facts form, #facts select")) return;
  shown = sign;
  const part = (cell, edit) => (editor ? edit(item, cell, () => {}) : cell);
  const rows = [
    [t("dashboard.status"), part(statusBadge(item), statusEdit)],
    [t("dashboard.group"), part(h("span", {}, item.group || "–"), groupEdit)],
    [t("dashboard.rate"), part(h("span", { title: item.rate_set ? null : t("dashboard.rate_default") }, rateText(item)), rateEdit)],
    [t("project.waiting"), number(item.waiting)],
    [t("project.leased"), number(item.leased)],
    [t("dashboard.all"), progressBar(item.all, t("dashboard.all"), "waiting")],
    [t("dashboard.speed"), h("span.speedcell", {}, sparkline(item.spark), speedText(item))],
    [t("dashboard.time"), timeText(item)],
    item.auto && [t("dashboard.auto"), autoText(item.auto)],
    item.refused && [t("project.refused"), refusedText(item.refused)],
    [t("dashboard.eta"), h("span", { title: etaTitle(item) }, etaText(item))],
  ].filter(Boolean);
  fill($("#facts"), rows.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))),
    item.action && h("div", {}, h("dt", {}, t("dashboard.actions")), h("dd", {}, t(`dashboard.action.${item.action.kind}`, { n: number(item.action.touched) }))),
    item.error && h("div", {}, h("dt", {}, t("dashboard.broken")), h("dd.bad", {}, t("project.broken", item))));
  $("#facts").removeAttribute("aria-busy");
  actions(item);
}

/** Which share of the pages of fetch_type auto the browser fetched. */
function autoText({ plain = 0, browser = 0, check = 0 }) {
  const all = plain + browser + check;
  const share = `${Math.round((100 * (browser + check)) / all)} %`;
  return h("span", { title: t("dashboard.auto.why", { needed: number(browser), check: number(check), plain: number(plain) }) },
    t("dashboard.auto.text", { share, n: number(all) }));
}

/** How many tasks were not taken on, and of which reason most. */
function refusedText(reasons) {
  const each = Object.entries(reasons).sort((a, b) => b[1] - a[1]);
  const all = each.reduce((sum, [, n]) => sum + n, 0);
  const words = each.map(([reason, n]) => `${reason}: ${number(n)}`);
  return h("span", { title: words.join("\n") }, `${number(all)} (${each[0][0]}${each.length > 1 ? ", …" : ""})`);
}

let current = null;
function actions(item) {
  const first = current === null;
  current = item;
  if (!first) return;
  fill($("#project-actions"),
    h("a.button", { href: url(`/debug/${encodeURIComponent(name)}`) }, t("orders.editor")),
    editor && h("button.button.primary", { type: "button", title: t("orders.run.title"), onclick: () => run(current) }, t("orders.run")),
    editor && h("button.button", { type: "button", "aria-haspopup": "menu", "aria-label": t("orders.of", item),
      onclick: (event) => openMenu(event.currentTarget, current) }, "⋯"));
}

function banner(words) {
  $("#no-scheduler").hidden = !words;
  $("#no-scheduler").textContent = words ?? "";
}

live("project", { name }, (state) => {
  const item = state.get("project");
  if (!item) { location.assign(url("/")); return; }
  banner(state.get("scheduler") ? null : t("dashboard.no_scheduler"));
  facts(item);
}, (problem) => problem && banner(problem.detail || t("base.offline")));

// -- what it did

async function charts() {
  const [, seconds, step] = range;
  const until = Math.floor(Date.now() / 60000) * 60; // the minute that runs is not written yet
  try {
    const found = await get(`${place}/metrics`, { since: until - seconds, until, step });
    drawCharts($("#charts"), found);
  } catch (error) { oops(error); }
}

function ranges() {
  fill($("#ranges"), RANGES.map((one) => h("button.button.small", { type: "button", "aria-pressed": String(one === range),
    onclick: () => {
      range = one;
      const search = new URLSearchParams(location.search);
      search.set("range", one[0]);
      history.replaceState(null, "", `?${search}`);
      ranges();
      charts();
    } }, one[0])));
}

// -- its crons and settings

async function crons() {
  const { items } = await get(`${place}/ticks`, { limit: 8 });
  fill($("#crons"), items.length ? h("table", {}, h("tbody", {}, items.map((one) => h("tr", {}, h("td", {}, when(one.time)), h("td.mono", {}, one.method)))))
    : h("p.muted", {}, t("project.no_crons")));
}

/** The hosts that may not be asked now; nothing is shown while there are none. */
async function hosts() {
  const { items } = await get(`${place}/hosts`);
  $("#hosts-card").hidden = !items.length;
  fill($("#hosts"), h("div.tablebox", {}, h("table", {}, h("tbody", {}, items.map((one) => h("tr", {},
    h("td.mono.wrap", {}, one.host), h("td", {}, one.until === null ? "–" : when(one.until)), h("td.wrap", {}, one.text)))))));
}

async function settings() {
  const box = $("#settings");
  if (!box) return;
  const { items } = await get(`${place}/settings`);
  const drop = async (one) => {
    if (!await confirm(t("project.remove.title", one), t("project.remove.text"), { action: t("project.remove"), danger: true })) return;
    try { await del(`${place}/settings/${encodeURIComponent(one.name)}`); await settings(); } catch (error) { oops(error); }
  };
  const rows = items.map((one) => h("tr", {}, h("td.mono.wrap", {}, one.name),
    h("td.wrap", {}, one.secret ? h("span.badge", {}, t("project.secret")) : h("span.mono", {}, one.value ?? "–")),
    h("td", {}, when(one.updated)),
    h("td.num", {}, h("button.button.small", { type: "button", "aria-label": t("project.remove_of", one), onclick: () => drop(one) }, t("project.remove")))));
  fill(box, items.length ? h("div.tablebox", {}, h("table", {},
    h("thead", {}, h("tr", {}, ["setting", "value", "updated"].map((key) => h("th", { scope: "col" }, t(`project.${key}`))), h("th", {}, h("span.visually-hidden", {}, t("dashboard.actions"))))),
    h("tbody", {}, rows))) : h("p.muted", {}, t("project.no_settings")), settingForm());
}

function settingForm() {
  const key = h("input", { type: "text", name: "setting", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const value = h("input", { type: "password", name: "value", autocomplete: "new-password", spellcheck: "false" });
  const secret = h("input", { type: "checkbox", checked: true, onchange: () => { value.type = secret.checked ? "password" : "text"; } });
  const error = h("span.error", { role: "alert", hidden: true });
  const save = async (event) => {
    event.preventDefault();
    const right = /^[A-Za-z0-9_.-]{1,64}$/.test(key.value);
    key.setAttribute("aria-invalid", String(!right));
    error.hidden = right;
    error.textContent = t("project.name_wrong");
    if (!right) { key.focus(); return; }
    try {
      await put(`${place}/settings/${encodeURIComponent(key.value)}`, { value: value.value, secret: secret.checked });
      toast(t("project.set_done", { name: key.value }), { kind: "good" });
      await settings();
    } catch (problem) { oops(problem); }
  };
  return h("form.filters", { onsubmit: save }, h("label.filter", {}, h("span", {}, t("project.setting")), key),
    h("label.filter", {}, h("span", {}, t("project.value")), value),
    h("label.secretbox", {}, secret, " ", t("project.is_secret")),
    h("button.button", { type: "submit" }, t("project.set")), error);
}

ranges();
charts();
crons().catch(oops);
hosts().catch(oops);
settings().catch(oops);
setInterval(() => document.hidden || charts(), 30000);
setInterval(() => document.hidden || hosts().catch(() => {}), 5000); // who is offline is told so already
document.addEventListener("themechange", charts);
