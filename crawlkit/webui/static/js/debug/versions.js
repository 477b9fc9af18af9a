// The versions of a script: who saved what and when; compare, restore, pin.
import { get, post, put } from "../api.js";
import { dialog } from "../dialog.js";
import { $$, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { when } from "../time.js";
import { oops, toast } from "../toast.js";
import { compare } from "./editor.js";

const PAGE = 100;

/** Opens the list. `saver`: the editor's state; `load(script, version)`: puts a version into the editor. */
export async function showVersions(project, saver, load) {
  let first;
  try { first = await get(`/projects/${project}/versions`, { limit: PAGE }); } catch (error) { oops(error); return; }
  await dialog(t("debug.versions"), (close) => new Versions(project, saver, load, close).build(first), { wide: true });
}

class Versions {
  constructor(project, saver, load, close) {
    Object.assign(this, { project, saver, load, close });
    this.list = h("ol.versions", { "aria-label": t("debug.versions") });
    this.side = h("div.version-side", {}, h("p.empty", {}, t("debug.choose_version")));
    this.items = [];
  }

  build(first) {
    this.add(first);
    this.list.addEventListener("keydown", (event) => this.move(event));
    const box = h("div.versionbox", {}, this.list, this.side);
    if (this.items.length) queueMicrotask(() => $$("button.version", this.list)[0].focus());
    return [box, h("div.dialog-actions", {}, h("button.button", { type: "button", onclick: () => this.close() }, t("base.close")))];
  }

  add({ items, next }) {
    this.items.push(...items);
    this.list.append(...items.map((one) => this.row(one)));
    if (!next) return;
    const more = h("li", {}, h("button.button.small", { type: "button", onclick: async () => {
      more.remove();
      try { this.add(await get(`/projects/${this.project}/versions`, { limit: PAGE, cursor: next })); } catch (error) { oops(error); }
    } }, t("debug.more")));
    this.list.append(more);
  }

  row(one) {
    return h("li", {}, h("button.version", { type: "button", dataset: { version: one.version }, onclick: () => this.choose(one) },
      h("span.version-line", {}, h("code", {}, one.version.slice(0, 7)), when(one.saved),
        one.newest && h("span.badge.info", {}, t("debug.newest")), one.pinned && h("span.badge.warn", {}, t("debug.pinned")), one.runs && h("span.badge.good", {}, t("debug.runs"))),
      h("span.version-message", {}, one.message || h("span.muted", {}, t("debug.no_message"))),
      h("span.version-line.muted", {}, h("span", {}, one.author || "–"), h("span.good", {}, `+${one.added ?? 0}`), h("span.bad", {}, `−${one.removed ?? 0}`))));
  }

  move(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step) return;
    const rows = $$("button.version", this.list);
    rows[Math.min(Math.max(rows.indexOf(document.activeElement) + step, 0), rows.length - 1)]?.focus();
    event.preventDefault();
  }

  async choose(one) {
    for (const row of $$("button.version", this.list)) row.setAttribute("aria-current", String(row.dataset.version === one.version));
    let whole;
    try { whole = await get(`/projects/${this.project}/versions/${one.version}`); } catch (error) { oops(error); return; }
    const place = h("div.comparebox");
    fill(this.side,
      h("div.actions", {},
        h("button.button.small", { type: "button", onclick: () => { this.load(whole.script); this.close(); } }, t("debug.into_editor")),
        h("button.button.small", { type: "button", disabled: one.newest, onclick: () => this.restore(one) }, t("debug.restore")),
        h("button.button.small", { type: "button", onclick: () => this.pin(one) }, t(one.pinned ? "debug.unpin" : "debug.pin"))),
      h("div.comparehead", {}, h("b", {}, t("debug.that_version", { version: one.version.slice(0, 7) })), h("b", {}, t("debug.in_editor"))), place);
    if (whole.script === this.saver.text) fill(place, h("p.empty", {}, t("debug.same_text")));
    else compare(place, whole.script, this.saver.text, [t("debug.that_version", { version: one.version.slice(0, 7) }), t("debug.in_editor")]);
  }

  async restore(one) {
    try {
      const answer = await post(`/projects/${this.project}/versions/${one.version}/restore`, { base: this.saver.version });
      const { script } = await get(`/projects/${this.project}/versions/${answer.version}`);
      this.saver.script = script;
      this.saver.version = answer.version;
      this.load(script);
      toast(t("debug.restored", { version: one.version.slice(0, 7) }), { kind: "good" });
      this.close();
    } catch (error) { oops(error); }
  }

  async pin(one) {
    try {
      await put(`/projects/${this.project}/pin`, { version: one.pinned ? null : one.version });
      toast(one.pinned ? t("debug.follows_newest") : t("debug.pinned_to", { version: one.version.slice(0, 7) }), { kind: "good" });
      this.list.replaceChildren();
      this.items = [];
      this.add(await get(`/projects/${this.project}/versions`, { limit: PAGE }));
      const again = this.items.find((each) => each.version === one.version);
      if (again) await this.choose(again);
    } catch (error) { oops(error); }
  }
}
