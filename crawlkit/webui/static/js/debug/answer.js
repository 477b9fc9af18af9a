// What came of a step: one line that sums it up, and a tab for each part.
import { $, fill, h } from "../dom.js";
import { number, t } from "../i18n.js";
import { ms } from "../time.js";
import { mountTabs } from "./panes.js";
import { sourceTab } from "./tab_source.js";
import { headersTab } from "./tab_headers.js";
import { followsTab, messagesTab } from "./tab_follows.js";
import { resultsTab } from "./tab_results.js";
import { errorBox, logsTab } from "./tab_logs.js";
import { browserTab } from "./tab_browser.js";
import { pageTab } from "./tab_page.js";

export const TABS = ["page", "html", "headers", "follows", "messages", "results", "logs", "browser"];

/** The tab that says most of a run. */
function bestTab(answer) {
  if (!answer.ok) return "logs";
  if (answer.result_count) return "results";
  if (answer.follow_count) return "follows";
  if (answer.message_count) return "messages";
  return answer.page ? "page" : "logs";
}

function summary(answer) {
  const { response, time } = answer;
  const parts = [];
  if (response) parts.push(h("span.badge", { class: response.error || response.status >= 400 ? "bad" : "good" }, response.status));
  if (answer.fetched && response) parts.push(t("debug.fetched_in", { ms: ms((time.fetch ?? response.time ?? 0) * 1000) }));
  else if (answer.page) parts.push(h("span.reused", {}, t("debug.reused")));
  if (answer.callback) parts.push(t("debug.ran_in", { name: answer.callback, ms: ms((time.process ?? 0) * 1000) }));
  if (answer.auto) parts.push(h("span.badge", { class: answer.auto.startsWith("browser") ? "info" : "" }, answer.auto));
  if (answer.json_sources?.length) parts.push(t("browser.sources_short", { n: number(answer.json_sources.length) }));
  if (answer.drop !== null && answer.drop !== undefined) parts.push(t("debug.dropped", { reason: answer.drop }));
  if (answer.not_modified) parts.push(t("debug.not_modified"));
  return parts.flatMap((part, at) => (at ? [h("span.muted", {}, " · "), part] : [part]));
}

/** `actions`: into(task, project), jump(line), insert(text), project. */
export class AnswerView {
  constructor(root, actions) {
    this.actions = actions;
    this.summary = $(".summary", root);
    this.problem = $(".problem", root);
    this.list = $(".answer-tabs", root);
    this.panel = $(".answer-panel", root);
    this.step = null;
    this.made = new Map();
    this.byHand = true;
    this.choose = mountTabs(this.list, (name) => this.draw(name));
  }

  /** Shows a step's answer, or that there is none yet. */
  show(step) {
    this.step = step;
    for (const [, nodes] of this.made) nodes.forEach((node) => node.dispose?.());
    this.made.clear();
    const { answer } = step;
    this.list.hidden = !answer;
    fill(this.problem, answer && errorBox(answer.error, this.actions.jump));
    fill(this.summary, answer ? summary(answer) : h("span.muted", {}, t("debug.not_run")));
    if (!answer) {
      fill(this.panel, h("p.empty", {}, t("debug.start_here")));
      return;
    }
    for (const name of TABS) this.count(name, answer);
    const rendered = Boolean(answer.response?.rendered);
    $('[data-tab="browser"]', this.list).hidden = !rendered;
    if (step.tab === "browser" && !rendered) step.tab = null;
    this.byHand = false;
    this.choose(step.tab ?? bestTab(answer));
    this.byHand = true;
  }

  count(name, answer) {
    const counts = { follows: answer.follow_count, messages: answer.message_count, results: answer.result_count, logs: answer.log_lines.length };
    const badge = $(`[data-tab="${name}"] .count`, this.list);
    if (badge) fill(badge, counts[name] ? number(counts[name]) : "");
  }

  draw(name) {
    if (!this.step?.answer || (name === "browser" && !this.step.answer.response?.rendered)) return;
    if (this.byHand) this.step.tab = name; // it holds for this step, also when it is run again
    if (!this.made.has(name)) this.made.set(name, this.make(name, this.step.answer).filter(Boolean));
    this.panel.setAttribute("aria-labelledby", `tab-${name}`);
    this.panel.dataset.tab = name;
    fill(this.panel, this.made.get(name));
  }

  make(name, answer) {
    const { into, jump, project } = this.actions;
    if (name === "page") return pageTab(answer, this.actions);
    if (name === "html") return sourceTab(answer, project);
    if (name === "browser") return browserTab(answer, this.actions);
    if (name === "headers") return headersTab(answer);
    if (name === "follows") return followsTab(answer, into);
    if (name === "messages") return messagesTab(answer, into, project);
    if (name === "results") return resultsTab(answer);
    return logsTab(answer, jump);
  }

  /** Puts the focus where the keyboard goes on: the first follow-up, else the tab itself. */
  focus() {
    const first = $(".follow-open", this.panel) ?? $('[aria-selected="true"]', this.list);
    (this.step?.answer && first ? first : this.panel).focus();
  }

  /** Shows the page with the selector helper turned on. */
  pick() {
    if (!this.step?.answer) return;
    this.choose("page", true);
    this.made.get("page")[0].pick?.();
  }
}
