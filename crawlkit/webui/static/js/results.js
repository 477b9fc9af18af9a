// Results: a table of chosen columns, one whole in a dialog, and all as a file.
import { $, fill, h } from "./dom.js";
import { base, get, query, url } from "./api.js";
import { dialog } from "./dialog.js";
import { mountTable } from "./table.js";
import { key } from "./keys.js";
import { oops } from "./toast.js";
import { number, t } from "./i18n.js";
import { when } from "./time.js";
import { outside, projectFilter, projectsOf, short, taskHref } from "./taskparts.js";

const room = $("#room");
const projects = projectsOf(room);
const FIRST = 6; // columns shown until somebody chooses
const FORMATS = [["jsonl", "JSON lines"], ["json", "JSON"], ["csv", "CSV"], ["parquet", "Parquet"], ["txt", "URL + JSON"]];

// -- which columns

const place = (project) => `crawlkit.columns.${project}`;
const known = new Map(); // project -> columns seen

function chosen(project) {
  try {
    const kept = JSON.parse(localStorage.getItem(place(project)));
    return Array.isArray(kept) ? kept.filter((one) => typeof one === "string").slice(0, 200) : null;
  } catch { return null; }
}

function learn(project, columns) {
  const seen = known.get(project) ?? [];
  known.set(project, [...seen, ...columns.filter((one) => !seen.includes(one))]);
}

const shown = (project) => chosen(project) ?? (known.get(project) ?? []).slice(0, FIRST);

async function chooseColumns() {
  const project = table.params().project;
  if (!project) return;
  const now = shown(project);
  const all = [...new Set([...now, ...(known.get(project) ?? [])])];
  const answer = await dialog(t("results.columns"), (close, box) => h("form", { method: "dialog",
    onsubmit: (event) => { event.preventDefault(); close([...box.querySelectorAll("input:checked")].map((one) => one.value)); } },
  h("p.muted", {}, t("results.columns_text")),
  all.length ? h("ul.checks", {}, all.map((name, index) => h("li", {}, h("label", {},
    h("input", { type: "checkbox", value: name, checked: now.includes(name), autofocus: index === 0 }), " ", h("code", {}, name))))) : h("p", {}, t("results.none")),
  h("div.dialog-actions", {},
    h("button.button", { type: "button", onclick: () => close("default") }, t("results.default_columns")),
    h("button.button", { type: "button", onclick: () => close() }, t("base.cancel")),
    h("button.button.primary", { type: "submit" }, t("results.show")))));
  if (answer === null) return;
  try {
    if (answer === "default") localStorage.removeItem(place(project));
    else localStorage.setItem(place(project), JSON.stringify(answer));
  } catch (error) { oops(error); }
  await table.reload();
}

// -- rows

const isNumber = (text) => /^-?\d+(\.\d+)?$/.test(text);

function cell(row, name) {
  const text = row.values[name];
  if (text === undefined) return h("span.muted", { "aria-label": t("results.missing") }, "–");
  const shortened = text.length > 100 || row.cut.includes(name);
  return h("span.value", { class: isNumber(text) ? "number" : null, title: shortened ? text : null }, shortened ? `${text.slice(0, 100)}…` : text);
}

function columnsFor(page) {
  const project = table?.params().project ?? "";
  learn(project, page.columns);
  return [
    { key: "url", title: t("results.page"), class: "page", render: (row) => [
      h("button.link.cut.pageurl", { type: "button", title: row.url, onclick: () => showWhole(row) }, short(row.url)),
      row.rest > 0 && page.columns.length > shown(project).length ? h("span.visually-hidden", {}, t("results.rest", { n: row.rest })) : null] },
    ...shown(project).map((name) => ({ key: name, title: name, sort: name, class: "value", render: (row) => cell(row, name) })),
    { key: "task", title: t("results.links"), render: (row) => h("span.links", {},
      h("a", { href: taskHref(row) }, t("results.task")), outside(row.url, t("results.open"))) },
    { key: "updatetime", title: t("results.stored"), numeric: true, optional: true, sort: "seq", render: (row) => when(row.updatetime) },
  ];
}

async function showWhole(row) {
  let whole;
  try { whole = await get(`/results/${row.project}/${row.seq}`); } catch (error) { oops(error); return; }
  await dialog(t("results.one", { n: number(row.n + 1) }), (close) => [
    h("p", {}, outside(whole.url)),
    h("pre", { tabIndex: 0 }, JSON.stringify(whole.result, null, 2)),
    h("div.dialog-actions", {}, h("a.button", { href: taskHref(row) }, t("results.to_task")),
      h("button.button", { type: "button", autofocus: true, onclick: () => close() }, t("base.close")))], { wide: true });
}

// -- files

function tools(params = {}) {
  if (!params.project) return fill($("#tools"));
  const { project, text, field, value } = params;
  const columns = chosen(project);
  const filter = { text, field, value };
  const link = (form, name, more = {}) => h("a", { href: `${base}/api/v1/results/${project}.${form}${query({ ...filter, ...more })}`, download: "" }, name);
  const menu = h("details.menu", { onkeydown: (event) => { if (event.key === "Escape") { menu.open = false; menu.firstElementChild.focus(); } } },
    h("summary.button", {}, t("results.download")),
    h("ul", {}, FORMATS.map(([form, name]) => h("li", {}, link(form, name))),
      columns && h("li", {}, link("csv", t("results.csv_chosen"), { columns }))));
  return fill($("#tools"), h("button.button", { type: "button", onclick: chooseColumns }, t("results.columns")), menu);
}

async function load(params, signal) {
  if (!params.project) return { items: [], columns: [], total: null, next: null, note: t("results.choose") };
  const { project } = params;
  const page = await get("/results", { ...params, columns: chosen(project) ?? undefined }, signal);
  if (!page.complete) page.note = t(params.sort.endsWith("seq") ? "results.looked" : "results.sorted_part", { n: number(page.looked) });
  tools(params);
  return page;
}

let table = null;
const only = projects.length === 1 ? projects[0] : "";
if (only && !new URLSearchParams(location.search).get("project")) history.replaceState(null, "", `${url("/results")}?project=${only}`);
const choose = projectFilter(room, false);
table = mountTable(room, {
  load, columnsFor, columns: [], label: t("nav.results"), empty: t("results.none"), sort: "-seq",
  filters: [{ ...choose, options: [["", t("results.choose_short")], ...choose.options] },
    { name: "text", type: "search", label: t("results.text"), placeholder: t("results.text_hint") },
    { name: "field", type: "text", label: t("results.field") }, { name: "value", type: "text", label: t("results.value") }],
  rowKey: (row) => String(row.seq), onOpen: showWhole,
});
key("c", t("results.columns"), chooseColumns);
key("r", t("tasks.reload"), () => table.reload());
document.addEventListener("click", (event) => { const menu = $("#tools details[open]"); if (menu && !menu.contains(event.target)) menu.open = false; });
