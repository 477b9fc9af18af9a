// Tasks: the search over all of them, or what just happened, pushed.
import { $, fill, h } from "./dom.js";
import { get, query, url } from "./api.js";
import { live } from "./live.js";
import { mountTable } from "./table.js";
import { key } from "./keys.js";
import { t } from "./i18n.js";
import { full, when } from "./time.js";
import { badge, projectFilter, projectsOf, seconds, stateBadge, taskHref, taskLink, took, updated } from "./taskparts.js";

const room = $("#room");
const address = new URLSearchParams(location.search);
const view = ["recent", "why"].find((one) => one === address.get("view")) ?? "";

function viewLinks() {
  const link = (one, text) => h("a.button", {
    href: url("/tasks") + query({ project: address.get("project") ?? "", view: one }),
    "aria-current": one === view ? "page" : null }, text);
  fill($("#tools"), link("", t("tasks.search")), link("recent", t("tasks.recent")), link("why", t("tasks.why")));
}

// -- the search

const STATES = ["active", "success", "failed", "bad"];

function mountSearch() {
  const filters = [
    { name: "url", type: "search", label: t("tasks.url"), placeholder: t("tasks.url_hint") },
    projectFilter(room),
    { name: "status", type: "select", label: t("tasks.status"), options: [["", t("base.any")], ...STATES.map((one) => [one, t(`tasks.${one}`)])] },
    { name: "callback", type: "text", label: t("tasks.callback") },
    { name: "reason", type: "text", label: t("tasks.reason"), placeholder: "timeout" },
    { name: "since", type: "datetime-local", label: t("tasks.since") },
    { name: "before", type: "datetime-local", label: t("tasks.before") },
    { name: "order", type: "select", label: t("tasks.order"), options: [["", t("tasks.newest")], ["url", t("tasks.by_url")]] },
  ];
  async function load({ since, before, ...params }, signal) {
    const page = await get("/tasks", { ...params, since: seconds(since), before: seconds(before) }, signal);
    if (page.looked_back_to !== null) {
      page.note = t(params.order === "url" ? "tasks.only_back_to" : "tasks.looked_back_to", { time: full(page.looked_back_to) });
    }
    return page;
  }
  const table = mountTable(room, {
    load, filters, label: t("nav.tasks"), empty: t("tasks.none"),
    rowKey: (row) => `${row.project}:${row.taskid}`, rowHref: taskHref,
    columns: [
      { key: "status", title: t("tasks.status"), render: badge, class: "state" },
      { key: "url", title: t("tasks.url"), render: taskLink, class: "grow" },
      { key: "project", title: t("tasks.project"), optional: true },
      { key: "callback", title: t("tasks.callback"), optional: true, render: (row) => h("code", {}, row.callback) },
      { key: "took", title: t("tasks.took"), numeric: true, optional: true, render: (row) => took(row.last?.fetch_time ?? null, row.last?.process_time ?? null) },
      { key: "follows", title: t("tasks.follows"), numeric: true, optional: true, render: (row) => row.last?.follows || "" },
      { key: "results", title: t("nav.results"), numeric: true, optional: true, render: (row) => row.results || "" },
      { key: "updatetime", title: t("tasks.updated"), numeric: true, render: updated },
    ],
  });
  key("r", t("tasks.reload"), () => table.reload());
}

// -- what just happened

function mountRecent() {
  const project = address.get("project") ?? "";
  const choose = h("select", { name: "project", onchange: (event) => location.assign(url("/tasks") + query({ view: "recent", project: event.target.value })) },
    h("option", { value: "" }, t("tasks.all_projects")),
    projectsOf(room).map((name) => h("option", { value: name, selected: name === project }, name)));
  const body = h("tbody");
  const status = h("p.tablestatus", { role: "status" }, t("base.loading"));
  const away = h("div.banner", { role: "alert", hidden: true });
  fill(room,
    h("div.filters", {}, h("label.filter", {}, h("span", {}, t("tasks.project")), choose)),
    away,
    h("div.tablebox", { tabIndex: 0, role: "region", "aria-label": t("tasks.recent") },
      h("table", {}, h("thead", {}, h("tr", {}, [t("tasks.status"), t("tasks.url")].map((one) => h("th", { scope: "col" }, one)),
        h("th.optional", { scope: "col" }, t("tasks.project")), h("th.num.optional", { scope: "col" }, t("tasks.took")),
        h("th.num.optional", { scope: "col" }, t("tasks.follows")), h("th.num", { scope: "col" }, t("tasks.when")))), body)),
    status);
  const rows = new Map();
  function row(one) {
    return h("tr", { dataset: { key: `${one.project}:${one.taskid}` } },
      h("td.state", {}, stateBadge(one.state), one.status_code && one.status_code !== 200 ? h("span.reason.muted", {}, String(one.status_code)) : null),
      h("td.grow", {}, taskLink(one)), h("td.optional", {}, one.project),
      h("td.num.optional", {}, took(one.fetch_time, one.process_time)),
      h("td.num.optional", {}, one.follows || ""), h("td.num", {}, when(one.time)));
  }
  function draw(state, changed) {
    for (const name of changed) if (state.has(name)) rows.set(name, row(state.get(name))); else rows.delete(name);
    const order = [...state.keys()].sort((a, b) => state.get(b).time - state.get(a).time);
    const focused = document.activeElement?.closest("tr")?.dataset.key;
    body.replaceChildren(...order.map((name) => rows.get(name)));
    if (focused) body.querySelector(`tr[data-key="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
    fill(status, order.length ? "" : t("tasks.nothing_happened"));
  }
  function problem(said) {
    away.hidden = !said;
    if (!said) return;
    fill(away, h("strong", {}, t(said.status === 503 ? "tasks.no_scheduler" : "base.offline")), " ", said.detail ?? "");
    fill(status, "");
  }
  live("recent", { project }, draw, problem);
}

// -- why a URL was crawled or not

function mountWhy() {
  const asked = address.get("url") ?? "";
  const project = address.get("project") ?? "";
  const where = h("input", { type: "search", name: "url", required: true, value: asked, placeholder: "https://", spellcheck: "false" });
  const choose = h("select", { name: "project" }, h("option", { value: "" }, t("tasks.all_projects")),
    projectsOf(room).map((name) => h("option", { value: name, selected: name === project }, name)));
  const said = h("div", { role: "status", id: "why" });
  const form = h("form.filters", { onsubmit: (event) => {
    event.preventDefault();
    location.assign(url("/tasks") + query({ view: "why", url: where.value.trim(), project: choose.value }));
  } }, h("label.filter.search", {}, h("span", {}, t("tasks.why_url")), where), h("label.filter", {}, h("span", {}, t("tasks.project")), choose),
    h("button.button.primary", { type: "submit" }, t("tasks.why_ask")));
  fill(room, form, said);
  if (asked) answerWhy(asked, project, said);
  else where.focus();
}

async function answerWhy(asked, project, said) {
  fill(said, h("p.muted", {}, t("base.loading")));
  try {
    const page = await get("/why", { url: asked, ...(project && { project }) });
    fill(said, page.scheduler ? null : h("p.banner", {}, t("tasks.why_stores")), page.items.map(whyCard),
      page.items.length ? null : h("p.muted", {}, t("tasks.why_nobody")));
  } catch (problem) {
    fill(said, h("p.banner", { role: "alert" }, problem.message));
  }
}

function whyCard(one) {
  const facts = [[t("tasks.why_crawled"), one.crawled], [t("tasks.why_next"), one.next]].filter(([, time]) => time !== null);
  return h("section.card", {}, h("h2", {}, one.project, " ", h("code", {}, one.code)), h("p", {}, one.text),
    facts.map(([label, time]) => h("p.muted", {}, label, " ", when(time))),
    one.taskid && !["refused", "unknown", "never_submitted", "not_url"].includes(one.code) ? h("p", {}, taskLink(one)) : null);
}

viewLinks();
({ recent: mountRecent, why: mountWhy, "": mountSearch })[view]();
