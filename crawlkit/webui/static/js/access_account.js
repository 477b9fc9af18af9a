// One's own account: password, sessions, tokens.
import { $, fill, h, meta } from "./dom.js";
import { del, get, post, put, url } from "./api.js";
import { mountTable } from "./table.js";
import { oops, toast } from "./toast.js";
import { when } from "./time.js";
import { t } from "./i18n.js";
import { newToken, tokenColumns } from "./access.js";

$("[data-logout]").addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch(event.target.action, { method: "POST", headers: { "X-CSRF-Token": meta("csrf") }, redirect: "manual" });
  location.assign(url("/login"));
});

$("#password")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  try {
    await put("/account/password", { old: form.old.value, new: form.new.value });
    form.reset();
    toast(t("access.password_changed"), { kind: "good" });
    sessions();
  } catch (error) { oops(error); }
});

async function sessions() {
  try {
    const { items } = await get("/account/sessions");
    fill($("#sessions"), items.map((one) => h("li", {},
      h("span", {}, t("access.session_line", { address: one.address || "–", via: t(`access.via_${one.via}`) }), " ",
        h("span.muted", {}, when(one.seen))),
      one.current ? h("span.badge.good", {}, t("access.this_one"))
        : h("button.button.small", { type: "button", onclick: () => end(one) }, t("access.end_session")))));
  } catch (error) { oops(error); }
}

async function end(one) {
  try {
    await del(`/account/sessions/${one.id}`);
    toast(t("access.session_ended"), { kind: "good" });
  } catch (error) { oops(error); }
  sessions();
}

const table = mountTable($("#tokens"), {
  endpoint: "/account/tokens", empty: t("access.no_tokens"), label: t("access.tokens"),
  columns: tokenColumns(async (row) => { await del(`/account/tokens/${row.id}`); table.reload(); }),
});
$("#new-token").addEventListener("click", async () => {
  if (await newToken(meta("role"), (body) => post("/account/tokens", body))) table.restart();
});
sessions();
