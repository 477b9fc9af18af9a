// What can be ordered for a whole project: each order says first how many tasks it touches.
import { h } from "./dom.js";
import { del, get, patch, post } from "./api.js";
import { confirm } from "./dialog.js";
import { oops, toast, undoable } from "./toast.js";
import { number, t } from "./i18n.js";
import { url } from "./api.js";

const path = (project, order) => `/projects/${encodeURIComponent(project.name)}/orders/${order}`;

async function counted(project, order, params) {
  const { tasks, leased } = await get(path(project, order), params);
  return { name: project.name, n: number(tasks), out: number(leased), tasks, leased };
}

const RUNS = new Set(["RUNNING", "DEBUG"]);

const guarded = (work) => async (...args) => {
  try { return await work(...args); } catch (error) { oops(error); return false; }
};

export const run = guarded(async (project) => {
  const name = encodeURIComponent(project.name);
  if (!RUNS.has(project.status)) { // what it would crawl would only wait
    const sure = await confirm(t("orders.run.start_title", project), t("orders.run.start_text", project), { action: t("orders.run.start") });
    if (!sure) return false;
    await patch(`/projects/${name}`, { status: "RUNNING" });
  }
  const answer = await post(`/projects/${name}/run`);
  toast(t(answer.active ? "orders.run.done" : "orders.run.waits", project), { kind: answer.active ? "good" : "info", seconds: 8 });
  return true;
});

export const pause = guarded(async (project) => {
  const seen = await counted(project, "pause");
  await post(path(project, "pause"));
  undoable(t("orders.pause.done", seen), () => post(path(project, "resume")));
  return true;
});

export const resume = guarded(async (project) => {
  const seen = await counted(project, "resume");
  await post(path(project, "resume"));
  const back = project.paused === "held" ? () => post(path(project, "pause")) : null;
  if (back) undoable(t("orders.resume.done", seen), back);
  else toast(t("orders.resume.done", seen), { kind: "good" });
  return true;
});

function asking(order, { danger = false } = {}) {
  return guarded(async (project, reason = "") => {
    const seen = await counted(project, order, { reason });
    if (!seen.tasks && order !== "restart") { toast(t(`orders.${order}.none`, seen)); return false; }
    const more = seen.leased && order !== "retry_failed" ? ` ${t("orders.leased", seen)}` : "";
    const sure = await confirm(t(`orders.${order}.title`, seen), t(`orders.${order}.text`, seen) + more,
      { action: t(`orders.${order}.action`, seen), danger });
    if (!sure) return false;
    await post(path(project, order), reason ? { reason } : {});
    toast(t(`orders.${order}.done`, seen), { kind: "good" });
    return true;
  });
}

export const retryFailed = asking("retry_failed");
export const clear = asking("clear", { danger: true });
export const restart = asking("restart", { danger: true });

export const remove = guarded(async (project) => {
  const seen = await counted(project, "drop");
  const sure = await confirm(t("orders.drop.title", seen), t("orders.drop.text", seen),
    { action: t("orders.drop.action"), danger: true, name: project.name });
  if (!sure) return false;
  await del(`/projects/${encodeURIComponent(project.name)}`);
  toast(t("orders.drop.done", seen), { kind: "good" });
  return true;
});

/** Opens the menu of a project's orders and pages at a button. */
export function openMenu(button, project, after = () => {}) {
  document.querySelector(".menu")?.remove();
  const item = (text, act, kind = null) => h("button.menuitem", { type: "button", role: "menuitem", class: kind,
    onclick: async () => { close(); if (await act(project)) after(); } }, text);
  const link = (text, href) => h("a.menuitem", { role: "menuitem", href: url(href) }, text);
  const name = encodeURIComponent(project.name);
  const held = project.paused !== "running" && project.paused !== "budget";
  const menu = h("div.menu", { role: "menu", popover: "auto", "aria-label": t("orders.of", project) },
    item(t("orders.run.menu"), run),
    held ? item(t("orders.resume"), resume) : item(t("orders.pause"), pause),
    item(t("orders.retry_failed"), retryFailed),
    item(t("orders.clear"), clear),
    item(t("orders.restart"), restart),
    h("hr"),
    link(t("orders.charts"), `/projects/${name}`),
    link(t("orders.editor"), `/debug/${name}`),
    link(t("nav.tasks"), `/tasks?project=${name}`),
    link(t("nav.failures"), `/failures?project=${name}`),
    link(t("nav.results"), `/results?project=${name}`),
    link(t("nav.logs"), `/logs?project=${name}`),
    h("hr"),
    item(t("orders.drop"), remove, "bad"));
  function close() { menu.hidePopover?.(); menu.remove(); }
  menu.addEventListener("toggle", (event) => { if (event.newState === "closed") { menu.remove(); button.focus(); } });
  menu.addEventListener("keydown", (event) => {
    const items = [...menu.querySelectorAll(".menuitem")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  });
  document.body.append(menu);
  menu.showPopover();
  const place = button.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(place.right - size.width, innerWidth - size.width - 8))}px`;
  menu.style.top = `${place.bottom + size.height + 8 > innerHeight ? Math.max(8, place.top - size.height - 4) : place.bottom + 4}px`;
  menu.querySelector(".menuitem").focus();
}
