// Users: adding, roles, passwords, links, removing.
import { $, h } from "./dom.js";
import { del, patch, post, url } from "./api.js";
import { confirm } from "./dialog.js";
import { mountTable } from "./table.js";
import { oops, toast, undoable } from "./toast.js";
import { when } from "./time.js";
import { t } from "./i18n.js";
import { ask, roleName, roleSelect, showSecret } from "./access.js";

const place = (row) => `/users/${encodeURIComponent(row.name)}`;
const passwordField = () => h("label.field", {}, t("access.password"),
  h("input", { type: "password", name: "password", autocomplete: "new-password", minlength: 8, maxlength: 1024, required: true }),
  h("span.hint", {}, t("access.password_rule")));

async function setRole(row, role) {
  const before = row.role;
  const change = async (to) => { row.role = (await patch(place(row), { role: to })).role; table.reload({ quiet: true }); };
  try {
    await change(role);
    undoable(t("access.role_changed", { user: row.name, role: roleName(role) }), () => change(before));
  } catch (error) {
    oops(error);
    table.reload({ quiet: true });
  }
}

async function setPassword(row) {
  const done = await ask(row.name, [passwordField()], t("access.set_password"), (said) => patch(place(row), said));
  if (done) toast(t("access.password_set", { user: row.name }), { kind: "good" });
}

async function makeLink(row) {
  try {
    const { path } = await post(`${place(row)}/link`);
    await showSecret(t("access.make_link"), t("access.link_made", { user: row.name }), location.origin + url(path));
  } catch (error) { oops(error); }
}

async function remove(row) {
  const sure = await confirm(t("access.remove_user", { user: row.name }), t("access.remove_user_text", { user: row.name }),
    { action: t("access.remove"), danger: true, name: row.name });
  if (!sure) return;
  try {
    await del(place(row));
    toast(t("access.user_removed", { user: row.name }), { kind: "good" });
  } catch (error) { oops(error); }
  table.reload();
}

const small = (text, run) => h("button.button.small", { type: "button", onclick: run }, text);
const table = mountTable($("#users"), {
  endpoint: "/users", rowKey: (row) => row.name, empty: t("access.no_users"), label: t("access.users"),
  filters: [{ name: "text", label: t("access.search"), type: "search" }],
  columns: [
    { key: "name", title: t("access.user"), render: (row) => h("strong", {}, row.name) },
    { key: "role", title: t("access.role"), render: (row) =>
      roleSelect({ "aria-label": `${row.name}: ${t("access.role")}`, onchange: (event) => setRole(row, event.target.value) }, row.role) },
    { key: "seen", title: t("access.last_login"), optional: true, render: (row) => when(row.seen) },
    { key: "tokens", title: t("access.token_count"), numeric: true, optional: true },
    { key: "do", title: h("span.visually-hidden", {}, t("access.what")), render: (row) => h("div.rowactions", {},
      small(t("access.set_password"), () => setPassword(row)), small(t("access.make_link"), () => makeLink(row)),
      small(t("access.remove"), () => remove(row))) },
  ],
});

$("#new-user").addEventListener("click", async () => {
  const added = await ask(t("access.new_user"), [
    h("label.field", {}, t("access.name"), h("input", { type: "text", name: "name", maxlength: 64, required: true, autofocus: true,
      autocomplete: "off", autocapitalize: "none", spellcheck: "false" })),
    passwordField(),
    h("label.field", {}, t("access.role"), roleSelect({ name: "role" }, table.rows.length ? "viewer" : "admin"))],
  t("access.new_user"), (said) => post("/users", said));
  if (!added) return;
  toast(t("access.user_added", { user: added.name }), { kind: "good" });
  table.reload();
});
