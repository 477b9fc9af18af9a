// What the callback asked for: follow-ups and messages, each of which can be stepped into.
import { $$, h } from "../dom.js";
import { t } from "../i18n.js";
import { formatted } from "./steps.js";

/** Arrow keys, j and k move between rows; Enter steps into the one at hand. */
function byKeyboard(list) {
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    const rows = $$(".follow-open", list);
    const at = rows.indexOf(event.target.closest("li")?.querySelector(".follow-open"));
    if (event.key === "x" && at >= 0) rows[at].closest("li").querySelector(".follow-more").click();
    else if (!step) return;
    else rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
    event.preventDefault();
  });
  return list;
}

function row(task, into, label, content) {
  const more = h("pre", { hidden: true });
  const toggle = h("button.iconbutton.follow-more", { type: "button", "aria-expanded": "false", "aria-label": t("debug.expand"), title: `${t("debug.expand")} (x)`,
    onclick: () => {
      more.hidden = !more.hidden;
      if (!more.textContent) more.textContent = formatted(content);
      toggle.setAttribute("aria-expanded", String(!more.hidden));
    } }, "…");
  return h("li.follow", {}, h("div.follow-line", {},
    h("button.follow-open", { type: "button", onclick: () => into(task), title: t("debug.step_into") }, label), toggle), more);
}

export function followsTab({ follows, follow_count: count }, into) {
  if (!follows.length) return [h("p.empty", {}, t("debug.no_follows"))];
  const list = h("ul.follows", {}, follows.map((task) => row(task, into,
    [h("span.badge.info", {}, task.process?.callback ?? "__call__"), h("span.follow-url", {}, task.url)], task)));
  return [count > follows.length && h("p.muted", {}, t("debug.first_of", { n: follows.length, total: count })), byKeyboard(list)];
}

export function messagesTab({ messages, message_count: count }, into, project) {
  if (!messages.length) return [h("p.empty", {}, t("debug.no_messages"))];
  const list = h("ul.follows", {}, messages.map((one) => row(one.task, (task) => into(task, one.project), [
    h("span.badge", {}, one.project), h("span.follow-url.mono", {}, JSON.stringify(one.body))], one)));
  return [count > messages.length && h("p.muted", {}, t("debug.first_of", { n: messages.length, total: count })),
    messages.some((one) => one.project !== project) && h("p.muted", {}, t("debug.other_project")), byKeyboard(list)];
}
