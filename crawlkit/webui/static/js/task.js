// One task: its state and parts, every attempt, its results; kept up to date.
import { $, fill, h, meta } from "./dom.js";
import { post, query, url } from "./api.js";
import { live } from "./live.js";
import { key } from "./keys.js";
import { oops, toast } from "./toast.js";
import { number, t } from "./i18n.js";
import { bytes, ms, when } from "./time.js";
import { browserParts } from "./rendered.js";
import { badge, debugHref, outside } from "./taskparts.js";

const room = $("#room");
const { project, taskid } = room.dataset;
const path = `/tasks/${project}/${encodeURIComponent(taskid)}`;
const mayChange = meta("role") !== "viewer";
const open = new Map(); // which <details> the user has opened or closed

const json = (value) => h("pre", { tabIndex: 0 }, JSON.stringify(value, null, 2));
const said = (value) => (Object.keys(value).length ? json(value) : h("p.muted", {}, t("tasks.defaults")));

function part(name, title, content, isOpen = false) {
  return h("details.part", { open: open.get(name) ?? isOpen, ontoggle: (event) => open.set(name, event.target.open) },
    h("summary", {}, title), content);
}

function fact(name, value) {
  return value === null || value === undefined || value === "" || value === false ? null : [h("dt", {}, name), h("dd", {}, value)];
}

// -- the head

async function order(action) {
  try {
    const said = await post(`${path}/${action}`);
    if (!said.accepted) throw new Error(said.reason);
    toast(t(`tasks.said_${said.verdict}`), { kind: "good" });
  } catch (error) { oops(error); }
}

function drawTools(task) {
  fill($("#tools"),
    mayChange && h("button.button.primary", { type: "button", onclick: () => order("rerun") }, t("tasks.rerun")),
    mayChange && h("button.button", { type: "button", disabled: task.status !== "active", onclick: () => order("cancel") }, t("tasks.cancel")),
    mayChange && h("a.button", { href: debugHref(task) }, t("tasks.debug")),
    h("a.button", { href: url("/logs") + query({ project, task: taskid }) }, t("nav.logs")));
}

function facts({ task, priority, lease, save }) {
  const held = lease && (lease.node ? t("tasks.held_by", { node: lease.node }) : t("tasks.on_its_way"));
  return h("section.card", {}, h("dl.facts", {},
    fact(t("tasks.status"), h("span", {}, badge(task))),
    fact(t("tasks.url"), outside(task.url)),
    fact(t("tasks.project"), h("a", { href: url(`/tasks?project=${project}`) }, project)),
    fact(t("tasks.callback"), h("code", {}, task.callback)),
    fact(t("tasks.taskid"), h("code", {}, task.taskid)),
    fact(t("tasks.held"), held ? [held, " ", when(lease.since)] : null),
    fact(t("tasks.due_at"), task.due ? when(task.due) : null),
    fact(t("tasks.crawled"), when(task.lastcrawltime)),
    fact(t("tasks.updated"), when(task.updatetime)),
    fact(t("tasks.run"), t("tasks.run_n", { run: number(task.run), retried: number(task.retried) })),
    fact(t("tasks.priority"), priority ? String(priority) : null),
    fact("self.save", save === null ? null : json(save))));
}

// -- attempts

function attempt(one, index) {
  const title = [h("span.badge", { class: one.ok ? "good" : "bad" }, one.ok ? t("tasks.ok") : one.reason || t("tasks.failed")), " ",
    h("span", {}, t("tasks.attempt", { run: number(one.run), attempt: number(one.attempt) })),
    h("span.muted", {}, " · ", when(one.ended), ` · ${ms((one.ended - one.started) * 1000)}${one.node ? ` · ${one.node}` : ""}`)];
  const { headers, content, rendered, ...fetch } = one.fetch;
  const { logs, exception, result, ...process } = one.process;
  return part(`attempt ${one.run} ${one.attempt}`, title, h("div.attempt", {},
    exception && [h("h3", {}, t("tasks.exception")), h("pre.bad", { tabIndex: 0 }, exception)],
    h("div.grid", {},
      h("div", {}, h("h3", {}, t("tasks.fetch")), Object.keys(fetch).length ? fetchFacts(fetch) : h("p.muted", {}, t("tasks.no_fetch"))),
      h("div", {}, h("h3", {}, t("tasks.process")), Object.keys(process).length ? processFacts(process, one.script) : h("p.muted", {}, t("tasks.no_process")))),
    rendered && browserParts(rendered, { project, taskid }, !browserShown++),
    logs && [h("h3", {}, t("tasks.logs")), h("pre", { tabIndex: 0 }, logs)],
    result && [h("h3", {}, t("tasks.result")), h("pre", { tabIndex: 0 }, result)],
    content && [h("h3", {}, t("tasks.content")), h("pre", { tabIndex: 0 }, content)],
    headers && part(`headers ${one.run} ${one.attempt}`, t("tasks.headers", { n: Object.keys(headers).length }), headerTable(headers)),
    part(`json ${one.run} ${one.attempt}`, "JSON", json({ fetch: one.fetch, process: one.process }))), index === 0);
}

function fetchFacts(fetch) {
  return h("dl.facts", {},
    fact(t("tasks.code"), fetch.status_code ? String(fetch.status_code) : null),
    fact(t("tasks.time"), ms((fetch.time ?? 0) * 1000)),
    fact(t("tasks.size"), fetch.size ? bytes(fetch.size) : null),
    fact(t("tasks.kind"), fetch.error_kind),
    fact(t("tasks.error"), fetch.error ? h("span.bad", {}, fetch.error) : null),
    fact(t("tasks.redirect"), fetch.redirect_url ? outside(fetch.redirect_url) : null),
    fact(t("tasks.by"), fetch.by),
    fact(t("tasks.encoding"), fetch.encoding));
}

function processFacts(process, script) {
  return h("dl.facts", {},
    fact(t("tasks.time"), ms((process.time ?? 0) * 1000)),
    fact(t("tasks.follows"), String(process.follows ?? 0)),
    fact(t("nav.results"), String(process.results ?? 0)),
    fact(t("tasks.kind"), process.reason),
    fact(t("tasks.version"), script ? h("code", {}, script.slice(0, 10)) : null));
}

const headerTable = (headers) => h("dl.facts.mono", {}, Object.entries(headers).map(([name, value]) => fact(name, String(value) || " ")));

// -- all of it

let browserShown = 0; // of the attempts, those that a browser rendered: the files are the newest one's

function draw(detail) {
  browserShown = 0;
  const { task, attempts, results, results_total: total, schedule, fetch, process } = detail;
  drawTools(task);
  const shown = results.map((one) => part(`result ${one.seq}`, [h("span", {}, `#${one.n + 1}`), h("span.muted", {}, " · "), when(one.updatetime)], json(one.result), total === 1));
  fill(room, facts(detail),
    h("section.card", {}, h("h2", {}, t("tasks.attempts", { n: number(attempts.length) })),
      attempts.length ? attempts.map(attempt) : h("p.muted", {}, t("tasks.no_attempts"))),
    h("section.card", {}, h("h2", {}, t("tasks.results", { n: number(total) })),
      shown.length ? shown : h("p.muted", {}, t("tasks.no_results")),
      total > results.length && h("p", {}, h("a", { href: url(`/results?project=${project}`) }, t("tasks.all_results")))),
    h("section.card", {}, h("h2", {}, t("tasks.parts")),
      part("schedule", "schedule", said(schedule), true), part("fetch", "fetch", said(fetch), true), part("process", "process", said(process), true)));
}

fill(room, h("p.tablestatus", { role: "status" }, t("base.loading")));
const away = h("div.banner", { role: "alert", hidden: true });
room.before(away);
live("task", { project, taskid }, (state) => draw(state.get("detail")), (problem) => {
  away.hidden = !problem;
  if (problem) fill(away, problem.detail || t("base.offline"));
});
if (mayChange) {
  key("R", t("tasks.rerun"), () => order("rerun"));
  key("d", t("tasks.debug"), () => location.assign(debugHref({ project, taskid })));
}
