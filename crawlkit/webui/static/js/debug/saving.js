// Saving: what it would change is shown first; a conflict is shown and solved; nothing is lost on the way.
import { Problem, get, patch, put } from "../api.js";
import { dialog } from "../dialog.js";
import { $, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { oops, toast } from "../toast.js";
import { compare, replaceAll } from "./editor.js";
import { runCheck, stopRun } from "./runs.js";

const GOING = new Set(["lost", "fewer", "changed"]);

export class Saver {
  /** `view`: the script's editor; `stored`: {script, version} or null for a new project; `onSaved(answer)`, `onState()`. */
  constructor({ project, view, stored, message, jump, onSaved, onState }) {
    Object.assign(this, { project, view, message, jump, onSaved, onState });
    this.script = stored?.script ?? "";
    this.version = stored?.version ?? null;
    this.checking = null;
    this.busy = false;
  }

  get text() { return this.view.state.doc.toString(); }
  get dirty() { return this.version === null || this.text !== this.script; }

  /** Ctrl-S. While a check runs, a second one saves without waiting for it. */
  async save() {
    if (this.checking) {
      this.checking.skipped = true;
      this.endCheck(this.checking);
      return;
    }
    if (this.busy) return; // a question about the save before is open
    if (!this.dirty) { toast(t("debug.nothing_to_save")); return; }
    const text = this.text;
    this.busy = true;
    try {
      if (this.version !== null && !(await this.passes(text))) { this.view.focus(); return; }
      await this.put(text, this.version);
    } catch (error) {
      if (error instanceof Problem && error.status === 409) await this.solve(error);
      else oops(error);
    } finally {
      this.busy = false;
    }
  }

  /** Whether to go on: nothing is lost on the pages that are kept, or the user says so. */
  async passes(text) {
    const mine = this.checking = { run: null, skipped: false };
    this.onState();
    let state = null;
    try {
      state = await runCheck(this.project, text, (news) => { mine.run = news.run; if (mine.skipped) this.endCheck(mine); });
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 403) throw error;
      if (!mine.skipped) toast(t("debug.check_failed", { why: error.detail || error.title }), { kind: "info" });
    } finally {
      this.checking = null;
      this.onState();
    }
    if (mine.skipped || !state?.answer) return true;
    if (!state.answer.error && !state.answer.callbacks?.some(worth)) return true;
    return (await dialog(t("debug.check_title"), (close) => findings(state.answer, close, (line) => { close(false); this.jump(line); }), { wide: true })) === true;
  }

  /** Once, as soon as it is known which run it is. A check that cannot be stopped ends by itself. */
  endCheck(check) {
    if (!check.run || check.ended) return;
    check.ended = true;
    stopRun(this.project, check.run).catch(() => {});
  }

  async put(text, base) {
    const answer = await put(`/projects/${this.project}/script`, { script: text, base, message: this.message.value.trim() });
    this.script = text;
    this.version = answer.version;
    this.message.value = "";
    this.onState();
    const words = answer.created ? t("debug.created", { status: answer.status }) : t("debug.saved", { version: answer.version.slice(0, 7) });
    const pin = answer.pin && answer.pin !== answer.version ? ` ${t("debug.pinned_elsewhere", { version: answer.pin.slice(0, 7) })}` : "";
    const late = answer.scheduler === "told" ? "" : ` ${t("debug.scheduler_away")}`;
    const stopped = !answer.created && answer.changed && answer.status === "CHECKING";
    toast(words + pin + late + (stopped ? ` ${t("debug.now_checking")}` : ""), { kind: "good", ...(stopped && { seconds: 30, action: { label: t("debug.go_on"), run: () => this.goOn() } }) });
    for (const one of (answer.problems ?? []).slice(0, 3)) toast(t("debug.saved_problem", { line: one.line, message: one.message }), { kind: "bad" });
    this.onSaved(answer);
  }

  /** A project that ran waits for this after its script was changed. */
  async goOn() {
    try {
      await patch(`/projects/${this.project}`, { status: "RUNNING" });
      toast(t("debug.goes_on", { project: this.project }), { kind: "good" });
    } catch (error) { oops(error); }
  }

  /** Somebody else saved meanwhile: both texts side by side, the right one to be edited. */
  async solve(problem) {
    const theirs = problem.current;
    let merged = this.text;
    const choice = await dialog(t("debug.conflict_title"), (close) => {
      const place = h("div.comparebox");
      queueMicrotask(() => compare(place, theirs.script, merged, [t("debug.theirs"), t("debug.yours")], { onChange: (text) => { merged = text; } }));
      return [
        h("p", {}, t("debug.conflict", { author: theirs.author || "?", version: theirs.version.slice(0, 7), message: theirs.message || "–" })),
        h("div.comparehead", {}, h("b", {}, t("debug.theirs")), h("b", {}, t("debug.yours"))), place,
        h("div.dialog-actions", {},
          h("button.button", { type: "button", onclick: () => close("later") }, t("debug.conflict_later")),
          h("button.button", { type: "button", onclick: () => close("theirs") }, t("debug.take_theirs")),
          h("button.button.primary", { type: "button", autofocus: true, onclick: () => close("mine") }, t("debug.save_yours"))),
      ];
    }, { wide: true });
    if (choice === "theirs") {
      replaceAll(this.view, theirs.script);
      this.script = theirs.script;
      this.version = theirs.version;
      this.onState();
    } else if (choice === "mine") {
      replaceAll(this.view, merged);
      this.version = theirs.version;
      try { await this.put(merged, theirs.version); } catch (error) {
        if (error.status === 409) await this.solve(error);
        else oops(error);
      }
    }
    this.view.focus();
  }
}

const worth = (one) => one.missing || one.verdict === "worse" || one.verdict === "changed" || one.exceptions?.new > one.exceptions?.old
  || one.fields.some((field) => GOING.has(field.verdict));

function findings(answer, close, jump) {
  const anyway = h("button.button.primary", { type: "button", autofocus: true, onclick: () => close(true) }, t("debug.save_anyway"), " ", h("kbd", {}, "↵"));
  return [
    answer.error
      ? h("p.bad", {}, t("debug.check_error"), " ", h("strong.wrap", {}, answer.error.message), " ", answer.error.line && h("button.link", { type: "button", onclick: () => jump(answer.error.line) }, t("debug.line", { n: answer.error.line })))
      : h("p", {}, t("debug.check_words", { pages: answer.checked })),
    ...(answer.callbacks ?? []).filter(worth).map((one) => finding(one, jump)),
    h("div.dialog-actions", {}, h("button.button", { type: "button", onclick: () => close(false) }, t("debug.back_to_editing"), " ", h("kbd", {}, "Esc")), anyway),
  ];
}

const shown = (value) => (value === undefined || value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
const tone = { lost: "bad", fewer: "bad", changed: "warn", gained: "good", more: "good", same: "" };

function finding(one, jump) {
  const changed = one.fields.filter((field) => field.verdict !== "same");
  const { exceptions } = one;
  return h("section.finding", {}, h("h3", {}, one.callback, " ", h("span.muted", {}, t("debug.on_pages", { n: one.pages }))),
    one.missing && h("p.bad", {}, t("debug.callback_gone", { name: one.callback })),
    exceptions?.new > exceptions?.old && h("p.bad", {}, t("debug.more_exceptions", { old: exceptions.old, n: exceptions.new }), " ",
      (exceptions.examples ?? []).slice(0, 1).map((each) => [h("code.wrap", {}, each.message), " ", each.line && h("button.link", { type: "button", onclick: () => jump(each.line) }, t("debug.line", { n: each.line }))])),
    ["results", "follows", "messages"].filter((what) => one[what] && one[what].old !== one[what].new).map((what) =>
      h("p", { class: one[what].new < one[what].old ? "bad" : "muted" }, t(`debug.${what}`), ": ", h("b", {}, `${number(one[what].old)} → ${number(one[what].new)}`))),
    changed.length > 0 && h("ul.fields", {}, changed.map((field) => h("li", {}, h("span.badge", { class: tone[field.verdict] }, t(`debug.verdict.${field.verdict}`)), " ", h("strong.mono", {}, field.text),
      (field.examples ?? []).slice(0, 1).map((each) => h("div.example.muted", {}, h("del.wrap", {}, shown(each.old).slice(0, 160)), " → ", h("ins.wrap", {}, shown(each.new).slice(0, 160))))))));
}

/** The stored script; null when there is no such project yet. */
export async function storedScript(project) {
  try {
    return await get(`/projects/${project}/versions/newest`);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Asks before unsaved changes are left behind. */
export function guard(saver) {
  addEventListener("beforeunload", (event) => {
    if (!saver.dirty || (saver.version === null && saver.text === saver.begun)) return;
    event.preventDefault();
    event.returnValue = "";
  });
}

export const messageField = () => $("#message");
