// The projects, live: what the server pushes is the page that the filters mean, and nothing else.
import { $, fill, h, meta } from "./dom.js";
import { base, url } from "./api.js";
import { dialog } from "./dialog.js";
import { key } from "./keys.js";
import { live } from "./live.js";
import { mountTable } from "./table.js";
import { number, t } from "./i18n.js";
import { compact, etaText, etaTitle, progressBar, rateText, sparkline, speedText, statusBadge, timeText } from "./project_cells.js";
import { groupEdit, rateEdit, statusEdit, STATUSES } from "./project_edits.js";
import { openMenu, run } from "./project_orders.js";

const box = $("#projects");
const editor = meta("role") !== "viewer";
const board = { params: "", state: new Map(), stop: () => {}, late: false };
const drawn = new Map(); // "project column" -> what was drawn
const home = (row) => url(`/${editor ? "debug" : "projects"}/${row.name}`); // where a project's name leads
const sooner = () => {}; // a change comes with the next push

// -- what is pushed

const pageOf = (state) => {
  const page = state.get("page");
  return { ...page, items: page.names.map((name) => state.get(`project:${name}`)) };
};

/** The page for these parameters: from what is followed already, or else it is followed from now on. */
function load(params) {
  const text = JSON.stringify(params);
  if (board.params === text && board.state.has("page")) return Promise.resolve(pageOf(board.state));
  board.stop();
  Object.assign(board, { params: text, state: new Map() });
  return new Promise((resolve, reject) => {
    let waiting = true;
    board.stop = live("dashboard", params, (state, changed) => {
      board.state = state;
      sums();
      if (waiting) { waiting = false; resolve(pageOf(state)); } else apply(changed);
    }, (problem) => {
      say(problem ? problem.detail || t("base.offline") : null);
      if (waiting && problem) { waiting = false; board.params = ""; reject(problem); }
    });
  });
}

const busy = () => box.querySelector("td form, td select") || document.querySelector(".menu");

function apply(changed) {
  if (busy()) { board.late = true; return; }
  const names = board.state.get("page").names;
  const shown = table.rows.map((row) => row.name);
  const moved = names.join() !== shown.join();
  // rows do not jump away under the pointer or from the keyboard's focus
  const steady = moved && [...names].sort().join() === [...shown].sort().join() && box.querySelector("tbody:hover, tbody :focus");
  if (!steady && (board.late || changed.has("page") || moved)) {
    board.late = false;
    drawn.clear();
    table.reload({ quiet: true });
    return;
  }
  offerGroups(board.state.get("page").groups);
  for (const row of pageOf(board.state).items) if (changed.has(`project:${row.name}`)) redraw(row);
}

/** Draws those cells of a row whose content changed. */
function redraw(row) {
  const index = table.rows.findIndex((one) => one.name === row.name);
  const line = box.querySelector(`tr[data-key="${CSS.escape(row.name)}"]`);
  if (index < 0 || !line) return;
  table.rows[index] = row;
  columns.forEach((column, place) => {
    const sign = JSON.stringify(column.of(row));
    const known = `${row.name} ${column.key}`;
    const cell = line.cells[place];
    if (drawn.get(known) === sign || cell.querySelector("form, select")) return;
    drawn.set(known, sign);
    const focused = [...cell.querySelectorAll("a, button")].indexOf(document.activeElement);
    fill(cell, column.render(row));
    if (focused >= 0) cell.querySelectorAll("a, button")[focused]?.focus({ preventScroll: true });
  });
}

function sums() {
  const all = board.state.get("sums");
  const { scheduler } = board.state.get("page");
  const words = [t("dashboard.sum_projects", { n: number(all.projects), active: number(all.active) })];
  if (scheduler) {
    words.push(t("dashboard.sum_waiting", { n: compact(all.waiting) }), t("dashboard.sum_leased", { n: number(all.leased) }),
      t("dashboard.per_second", { n: all.speed }));
    if (all.failed_5m) words.push(t("dashboard.sum_failed", { n: number(all.failed_5m) }));
  }
  fill($("#sums"), words.join(" · "));
  say(scheduler ? null : t("dashboard.no_scheduler"));
}

function say(words) {
  const banner = $("#no-scheduler");
  banner.hidden = !words;
  if (words && banner.textContent !== words) banner.textContent = words;
}

// -- the list

const part = (cell, edit) => (row) => (editor ? edit(row, cell(row), sooner) : cell(row));
const windowColumn = (key, optional = true) => ({
  key, title: key, optional, class: "window", of: (row) => row.windows[key] ?? 0,
  render: (row) => progressBar(row.windows[key], t("dashboard.window", { w: key }), "new"),
});

function nameCell(row) {
  return h("span.namecell", {},
    h("a.name", { href: home(row), title: editor ? t("dashboard.open_editor") : t("dashboard.charts_of", row) }, row.name),
    h("a.chartlink", { href: url(`/projects/${row.name}`), title: t("orders.charts"), "aria-label": t("dashboard.charts_of", row) }, "▤"),
    row.error && h("span.badge.bad", { title: row.error }, t("dashboard.broken")),
    row.action && h("span.badge.info", {}, t(`dashboard.action.${row.action.kind}`, { n: number(row.action.touched) })));
}

function actionCell(row) {
  const now = () => table.rows.find((one) => one.name === row.name) ?? row; // this cell is not drawn again
  const menu = (event) => openMenu(event.currentTarget, now(), sooner);
  return h("span.rowactions", {},
    h("button.button.small.run", { type: "button", onclick: () => run(now()), title: t("orders.run.title"), "aria-label": t("orders.run_of", row) }, t("orders.run")),
    h("button.button.small", { type: "button", onclick: menu, "aria-haspopup": "menu", "aria-label": t("orders.of", row) }, "⋯"));
}

const columns = [
  { key: "group", title: t("dashboard.group"), sort: "group", optional: true, class: "group", of: (row) => row.group,
    render: part((row) => h("span", { class: row.group ? null : "muted" }, row.group || "–"), groupEdit) },
  { key: "name", title: t("dashboard.name"), sort: "name", of: (row) => [row.error, row.action], render: nameCell },
  { key: "status", title: t("dashboard.status"), sort: "status", of: (row) => [row.status, row.paused, row.max_pages], render: part(statusBadge, statusEdit) },
  { key: "rate", title: t("dashboard.rate"), optional: true, numeric: true, of: (row) => [row.rate, row.burst, row.rate_set],
    render: part((row) => h("span", { class: row.rate_set ? null : "muted", title: row.rate_set ? null : t("dashboard.rate_default") }, rateText(row)), rateEdit) },
  { key: "time", title: t("dashboard.time"), sort: "time", optional: true, numeric: true, of: (row) => [row.fetch_ms, row.process_ms],
    render: (row) => h("span", { title: t("dashboard.time.why") }, timeText(row)) },
  windowColumn("5m"), windowColumn("1h"), windowColumn("1d"),
  { key: "all", title: t("dashboard.all"), sort: "waiting", class: "window", of: (row) => row.all,
    render: (row) => progressBar(row.all, t("dashboard.all"), "waiting") },
  { key: "speed", title: t("dashboard.speed"), sort: "speed", optional: true, class: "speed", of: (row) => [row.spark, row.speed],
    render: (row) => h("span.speedcell", { title: t("dashboard.speed.why") }, sparkline(row.spark), h("span.num", {}, speedText(row))) },
  { key: "eta", title: t("dashboard.eta"), sort: "eta", optional: true, numeric: true, of: (row) => row.eta,
    render: (row) => h("span", { title: etaTitle(row) }, etaText(row)) },
];
if (editor) columns.push({ key: "actions", title: t("dashboard.actions"), class: "actionscol", of: () => 0, render: actionCell });

const statuses = [["", t("base.any")], ...["active", "busy", "paused", "failing"].map((one) => [one, t(`dashboard.filter.${one}`)]),
  ...STATUSES.map((one) => [one, one])];

function markGroups() {
  let last = null;
  for (const line of box.querySelectorAll("tbody tr")) {
    const row = table?.rows.find((one) => one.name === line.dataset.key);
    line.classList.toggle("groupstart", Boolean(row) && last !== null && row.group !== last);
    last = row?.group ?? last;
  }
}

function offerGroups(groups) {
  const select = box.querySelector('[data-filter="group"]');
  const wanted = new URLSearchParams(location.search).get("group") ?? "";
  const values = ["", ...groups.map((one) => one || "-")];
  if (wanted && !values.includes(wanted)) values.push(wanted);
  if ([...select.options].map((one) => one.value).join() === values.join()) return;
  fill(select, values.map((one) => h("option", { value: one, selected: one === wanted }, one === "" ? t("base.any") : one === "-" ? "–" : one)));
}

let table = null;
table = mountTable(box, {
  load, columns, rowKey: (row) => row.name, sort: "group", limit: 50, empty: t("dashboard.empty"),
  rowHref: home,
  filters: [
    { name: "q", label: t("dashboard.find"), type: "search", placeholder: t("dashboard.find_hint") },
    { name: "group", label: t("dashboard.group"), type: "select", options: [["", t("base.any")]] },
    { name: "status", label: t("dashboard.status"), type: "select", options: statuses },
  ],
  onDraw: (page) => {
    offerGroups(page.groups ?? []);
    box.classList.toggle("bygroup", /^-?group$/.test(new URLSearchParams(location.search).get("sort") ?? "group"));
    setTimeout(markGroups);
  },
});

// -- a new project

function create() {
  const name = h("input", { type: "text", name: "project", required: true, pattern: "[a-zA-Z0-9_]+", maxlength: 64, autocomplete: "off", spellcheck: "false", autofocus: true });
  const urls = h("textarea", { name: "start-urls", rows: 3, spellcheck: "false", placeholder: "https://example.com/" });
  const error = h("span.error", { role: "alert", hidden: true }, t("dashboard.name_wrong"));
  return dialog(t("dashboard.create"), (close) => {
    const go = (event) => {
      event.preventDefault();
      const right = /^[a-zA-Z0-9_]{1,64}$/.test(name.value);
      name.setAttribute("aria-invalid", String(!right));
      error.hidden = right;
      if (!right) { name.focus(); return; }
      const starts = urls.value.split(/\s+/).filter(Boolean).join(" ");
      location.assign(url(`/debug/${name.value}`) + (starts ? `?${new URLSearchParams({ "start-urls": starts })}` : ""));
    };
    return h("form", { onsubmit: go, novalidate: true },
      h("label.field", {}, t("dashboard.name"), name, h("span.hint", {}, t("dashboard.name_hint")), error),
      h("label.field", {}, t("dashboard.start_urls"), urls, h("span.hint", {}, t("dashboard.start_hint"))),
      h("div.dialog-actions", {},
        h("button.button", { type: "button", onclick: () => close() }, t("base.cancel")),
        h("button.button.primary", { type: "submit" }, t("dashboard.create_go"))));
  });
}

$("#create")?.addEventListener("click", create);
if (editor) key("c", t("dashboard.create"), create);
const diagram = $("#queue-diagram");
if ("ready" in diagram.dataset) import(`${base}/static/js/queue_diagram.js`).then((room) => room.mountQueueDiagram(diagram));
