// What lists and pages of tasks share: their addresses, the badge of a state, times of an attempt.
import { url } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { ms, when } from "./time.js";

export const taskHref = (task) => url(`/task/${task.project}:${encodeURIComponent(task.taskid)}`);
export const debugHref = (task) => url(`/debug/${task.project}?taskid=${encodeURIComponent(task.taskid)}`);

const KINDS = { success: "good", failed: "bad", bad: "warn", sent: "info", ok: "good", fetch_error: "bad", process_error: "bad" };

/** The state of a task in a word: what it is, and why. */
export function badge(task) {
  const reason = task.last?.reason;
  if (task.status === "active") {
    const retrying = task.retried > 0;
    return [h("span.badge", { class: retrying ? "warn" : "info" }, t(retrying ? "tasks.retrying" : "tasks.active")),
      retrying && reason ? h("span.reason.muted", {}, reason) : null];
  }
  return [h("span.badge", { class: KINDS[task.status] }, t(`tasks.${task.status}`)),
    task.status === "failed" ? h("span.reason.muted", {}, reason || t("tasks.unknown")) : null];
}

export const stateBadge = (state) => h("span.badge", { class: KINDS[state] }, t(`tasks.${state}`));

/** "120 + 4 ms": fetch and callback. */
export function took(fetch, process) {
  if (fetch === null && process === null) return h("span.muted", {}, "–");
  const part = (seconds) => (seconds === null ? "–" : ms(seconds * 1000));
  return `${part(fetch)} + ${part(process)}`;
}

/** When it was updated, and when it is due if that is still to come. */
export function updated(task) {
  return [when(task.updatetime), task.due && task.due > Date.now() / 1000 ? h("div.muted.small", {}, t("tasks.due"), " ", when(task.due)) : null];
}

/** An address as it is shown where there is little room. */
export const short = (address) => address.replace(/^https?:\/\//, "");

/** A link to a task that shows its URL. */
export const taskLink = (task) => h("a.cut", { href: taskHref(task), title: task.url }, short(task.url));

/** A link out of the web UI, to a page of the web; text where it is no web address. */
export function outside(address, text = address) {
  if (!/^https?:\/\//i.test(address)) return h("span.wrap", {}, text);
  return h("a.wrap", { href: address, target: "_blank", rel: "noopener noreferrer" }, text);
}

/** The projects a page offers. */
export const projectsOf = (element) => JSON.parse(element.dataset.projects ?? "[]");
export const projectFilter = (element, any = true) => ({
  name: "project", type: "select", label: t("tasks.project"),
  options: [...(any ? [["", t("tasks.all_projects")]] : []), ...projectsOf(element).map((name) => [name, name])],
});

export const seconds = (local) => (local ? String(new Date(local).getTime() / 1000) : "");
