// Questions to the user, on the browser's own <dialog>.
import { h } from "./dom.js";
import { t } from "./i18n.js";

/** Opens a dialog with `content` nodes and resolves with what `close(value)` is given; null when it is dismissed. */
export function dialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const box = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": "dialog-title" });
    let answer = null;
    const close = (value = null) => { answer = value; box.close(); };
    box.append(h("h2", { id: "dialog-title" }, title), ...[build(close, box)].flat());
    box.addEventListener("cancel", () => resolve(null)); // before the focus goes back: a key pressed then finds it answered
    box.addEventListener("close", () => { box.remove(); resolve(answer); });
    box.addEventListener("click", (event) => { if (event.target === box) close(); });
    document.body.append(box);
    box.showModal();
    box.querySelector("[autofocus]")?.focus();
  });
}

/** Asks before something is done. `name`: must be typed first. Resolves true or false. */
export async function confirm(title, text, { action = t("base.confirm"), danger = false, name = "" } = {}) {
  const answer = await dialog(title, (close) => {
    const button = h("button.button", { type: "submit", class: danger ? "danger" : "primary", disabled: Boolean(name) }, action);
    const typed = name && h("label.field", {}, t("base.type_name", { name }),
      h("input", { type: "text", autocomplete: "off", spellcheck: "false", autofocus: true,
        oninput: (event) => { button.disabled = event.target.value !== name; } }));
    return h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); close(true); } },
      h("p", {}, text), typed,
      h("div.dialog-actions", {},
        h("button.button", { type: "button", onclick: () => close(false) }, t("base.cancel")), button));
  });
  return answer === true;
}
