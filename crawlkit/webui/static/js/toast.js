// Short messages in the corner; those with an action stay longer.
import { $, h } from "./dom.js";
import { t } from "./i18n.js";

/** `kind`: info, good, bad. `action`: {label, run}. Bad ones stay until they are closed. */
export function toast(text, { kind = "info", action = null, seconds = action ? 10 : 5 } = {}) {
  const close = () => box.remove();
  const box = h("div.toast", { class: kind, role: kind === "bad" ? "alert" : null },
    h("span", {}, text),
    action && h("button.link", { type: "button", onclick: () => { close(); action.run(); } }, action.label),
    h("button.iconbutton", { type: "button", "aria-label": t("base.close"), onclick: close }, "×"));
  $("#toasts").append(box);
  if (kind !== "bad") setTimeout(close, seconds * 1000);
  return close;
}

/** Shows what went wrong. */
export const oops = (error) => toast(error.detail || error.message || String(error), { kind: "bad" });

/** Says what was done, with a way back. `back` is awaited. */
export function undoable(text, back) {
  const run = async () => {
    try { await back(); toast(t("base.undone"), { kind: "good" }); } catch (error) { oops(error); }
  };
  return toast(text, { kind: "good", action: { label: t("base.undo"), run } });
}
