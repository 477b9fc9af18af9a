// What the pages about accounts share: showing a secret once, making tokens, columns of tokens.
import { h } from "./dom.js";
import { confirm, dialog } from "./dialog.js";
import { oops, toast } from "./toast.js";
import { when } from "./time.js";
import { t } from "./i18n.js";

const RANK = ["viewer", "editor", "admin"];
export const roleName = (role) => t(`access.role_${role}`);

/** A <select> of roles, none above `most`. */
export function roleSelect(props = {}, chosen = "viewer", most = "admin") {
  return h("select", props, RANK.slice(0, RANK.indexOf(most) + 1).map((role) =>
    h("option", { value: role, selected: role === chosen }, roleName(role))));
}

/** Shows a text that is not shown again, with a button that copies it. */
export function showSecret(title, words, secret) {
  const code = h("code", { tabIndex: 0 }, secret);
  async function copy() {
    try {
      await navigator.clipboard.writeText(secret);
      toast(t("access.copied"), { kind: "good" });
    } catch {
      getSelection().selectAllChildren(code);
    }
  }
  return dialog(title, (close) => [
    h("p", {}, words),
    h("div.secret", {}, code, h("button.button", { type: "button", onclick: copy }, t("access.copy"))),
    h("div.dialog-actions", {}, h("button.button.primary", { type: "button", onclick: () => close(true) }, t("base.close")))]);
}

/** Asks what a form asks, and calls `send(values)` until it succeeds; resolves with its answer, or null. */
export function ask(title, fields, action, send) {
  return dialog(title, (close) => {
    const problem = h("p.bad", { role: "alert", hidden: true });
    const go = h("button.button.primary", { type: "submit" }, action);
    async function submit(event) {
      event.preventDefault();
      go.disabled = true;
      try {
        close(await send(Object.fromEntries(new FormData(event.target))));
      } catch (error) {
        problem.textContent = error.detail || error.message;
        problem.hidden = false;
      } finally {
        go.disabled = false;
      }
    }
    return h("form", { onsubmit: submit }, fields, problem, h("div.dialog-actions", {},
      h("button.button", { type: "button", onclick: () => close(null) }, t("base.cancel")), go));
  });
}

/** Asks for a new token, of a role up to `most`, and shows it. */
export async function newToken(most, send) {
  const days = h("select", { name: "days" }, [["", t("access.never")], ...[7, 30, 90, 365].map((n) => [n, t("access.days", { n })])]
    .map(([value, text]) => h("option", { value, selected: value === 90 }, text)));
  const made = await ask(t("access.new_token"), [
    h("label.field", {}, t("access.token_name"), h("input", { type: "text", name: "name", maxlength: 100, required: true, autofocus: true, autocomplete: "off" })),
    h("label.field", {}, t("access.token_role"), roleSelect({ name: "role" }, "viewer", most)),
    h("label.field", {}, t("access.token_days"), days)],
  t("access.make"), ({ name, role, days: said }) => send({ name, role, days: said ? Number(said) : null }));
  if (made) await showSecret(t("access.token"), t("access.token_made"), made.token);
  return made;
}

/** The columns of a list of tokens. `remove(row)` is called when that was confirmed. */
export function tokenColumns(remove, { users = false } = {}) {
  async function drop(row) {
    if (!await confirm(t("access.remove_token"), t("access.remove_token_text", { name: row.name }), { action: t("access.remove"), danger: true })) return;
    try {
      await remove(row);
      toast(t("access.token_removed"), { kind: "good" });
    } catch (error) { oops(error); }
  }
  return [
    { key: "name", title: t("access.token_name"), render: (row) => [row.name, " ", h("code.muted", {}, `ck_${row.id}`)] },
    users && { key: "user", title: t("access.user") },
    { key: "role", title: t("access.token_role"), render: (row) => h("span.badge", {}, roleName(row.role)) },
    { key: "created", title: t("access.created"), optional: true, render: (row) => when(row.created) },
    { key: "expires", title: t("access.expires"), optional: true, render: (row) => row.expires ? when(row.expires) : t("access.never") },
    { key: "used", title: t("access.used"), optional: true, render: (row) => when(row.used) },
    { key: "remove", title: h("span.visually-hidden", {}, t("access.remove")), class: "num",
      render: (row) => h("button.button.small", { type: "button", onclick: () => drop(row) }, t("access.remove")) },
  ].filter(Boolean);
}
