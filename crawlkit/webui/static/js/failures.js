// Failures: groups of tasks by the reason they failed for, and another try for a whole group.
import { $, h, meta } from "./dom.js";
import { get, post, query, url } from "./api.js";
import { confirm } from "./dialog.js";
import { mountTable } from "./table.js";
import { key } from "./keys.js";
import { oops, toast } from "./toast.js";
import { number, t } from "./i18n.js";
import { when } from "./time.js";
import { projectFilter, taskLink } from "./taskparts.js";

const mayChange = meta("role") !== "viewer";
const tasksHref = (group) => url("/tasks") + query({ project: group.project, status: retrying() ? "active" : "failed", reason: group.reason });
const retrying = () => new URLSearchParams(location.search).get("state") === "retrying";

async function retry(group) {
  const values = { n: number(group.tasks), project: group.project, reason: group.reason };
  if (!await confirm(t("failures.retry"), t("failures.retry_text", values), { action: t("failures.retry") })) return;
  try {
    const said = await post(`/failures/${group.project}/retry`, { reason: group.reason });
    toast(t("failures.retrying", { ...values, n: number(said.tasks) }), { kind: "good" });
    setTimeout(() => table.reload({ quiet: true }), 1000);
  } catch (error) { oops(error); }
}

async function load(params, signal) {
  const page = await get("/failures", params, signal);
  if (page.retrying && page.items.length === 0) page.note = t("failures.but_retrying", { n: number(page.retrying) });
  else if (page.retrying) page.note = t("failures.and_retrying", { n: number(page.retrying) });
  if (page.counted < page.failed) page.note = t("failures.too_many", { counted: number(page.counted), failed: number(page.failed) });
  return page;
}

const examples = (group) => h("ul.examples", {}, group.examples.map((one) => h("li", {}, taskLink({ ...one, project: group.project }))));

const table = mountTable($("#room"), {
  load, label: t("nav.failures"), empty: t("failures.none"),
  filters: [{ name: "text", type: "search", label: t("tasks.reason") }, projectFilter($("#room")),
    { name: "state", type: "select", label: t("tasks.status"), value: "failed",
      options: [["failed", t("failures.state_failed")], ["retrying", t("failures.state_retrying")]] }],
  rowKey: (group) => `${group.project}:${group.reason}`, rowHref: tasksHref,
  columns: [
    { key: "reason", title: t("tasks.reason"), render: (group) => h("a", { href: tasksHref(group) }, h("span.badge.bad", {}, group.reason)) },
    { key: "project", title: t("tasks.project") },
    { key: "tasks", title: t("nav.tasks"), numeric: true, render: (group) => number(group.tasks) },
    { key: "examples", title: t("failures.examples"), class: "grow", render: examples },
    { key: "first", title: t("failures.first"), numeric: true, optional: true, render: (group) => when(group.first) },
    { key: "last", title: t("failures.last"), numeric: true, render: (group) => when(group.last) },
    ...(mayChange ? [{ key: "retry", title: t("failures.again"),
      render: (group) => h("button.button.small", { type: "button", onclick: () => retry(group),
        "aria-label": t("failures.retry_label", { project: group.project, reason: group.reason }) }, t("failures.retry")) }] : []),
  ],
});
key("r", t("tasks.reload"), () => table.reload());
