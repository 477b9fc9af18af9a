// The debugger's page: the script on one side, on the other one step of the crawl after the other.
import { get, url } from "../api.js";
import { $, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { key, showKeys } from "../keys.js";
import { oops, toast } from "../toast.js";
import { AnswerView, TABS } from "./answer.js";
import { completion, taskCompletion } from "./completion.js";
import { goTo, insert, jsonEditor, replaceAll, scriptEditor, shortcuts } from "./editor.js";
import { scriptMarks, taskMarks } from "./marks.js";
import { placeOf } from "./methods.js";
import { mountOutside } from "./outside.js";
import { mountDivider, mountTabs } from "./panes.js";
import { runStep, stopRun } from "./runs.js";
import { Saver, guard, messageField, storedScript } from "./saving.js";
import { FIRST, Steps, callbackOf, formatted, toStep } from "./steps.js";
import { showVersions } from "./versions.js";

const root = $(".debug");
const { project, known, taskid, startUrls } = root.dataset;

const steps = new Steps();
let running = null; // {state, began, stopped}
let script = null;
let task = null;
let saver = null;
let answers = null;
let isOutside = () => false; // whether the script is edited elsewhere
let pane = () => {}; // on a narrow screen: which of both is shown

const ACTIONS = {
  "Mod-Enter": () => run(),
  "Mod-.": () => stop(),
  "Mod-s": () => saver.save(),
  "Alt-ArrowLeft": () => travel(steps.at - 1),
  "Alt-ArrowRight": () => travel(steps.at + 1),
  "Alt-1": () => focusOn("script"),
  "Alt-2": () => focusOn("task"),
  "Alt-3": () => focusOn("answer"),
  "Alt-4": () => { pane("step"); answers.pick(); },
  F1: () => showKeys(),
};

// ---- running a step

async function run({ again = false } = {}) {
  if (running) return;
  const step = steps.current;
  const text = step.text;
  const page = again ? null : steps.pageToUse(step);
  running = { state: null, began: performance.now(), stopped: false };
  pane("step");
  showRunning();
  const timer = setInterval(showRunning, 250);
  try {
    const state = await runStep(project, { script: isOutside() ? null : script.state.doc.toString(), task: text, page }, (news) => {
      running.state = news;
      if (running.stopped && news.state !== "stopped") stopRun(project, news.run).catch(oops);
      showRunning();
    });
    if (state.answer) steps.note(step, state.answer, text);
  } catch (error) {
    if (page && error.status === 404) {
      step.page = null;
      toast(t("debug.page_gone"));
      running = null;
      clearInterval(timer);
      return run({ again: true });
    }
    oops(error);
  }
  clearInterval(timer);
  running = null;
  showRunning();
  if (steps.current === step) answers.show(step);
  showSteps();
  if (step.wantsFocus) {
    step.wantsFocus = false;
    if (steps.current === step) answers.focus();
  }
}

async function stop() {
  if (!running || running.stopped) return;
  running.stopped = true;
  showRunning();
  if (running.state) await stopRun(project, running.state.run).catch(oops);
}

function showRunning() {
  const busy = Boolean(running);
  $("#stop").disabled = !busy || running.stopped;
  for (const id of ["#run", "#again"]) $(id).disabled = busy;
  root.classList.toggle("busy", busy);
  const page = steps.pageToUse();
  $("#run-label").textContent = t(page ? "debug.run_on_page" : "debug.run");
  $("#again").hidden = !page;
  const line = $(".progress");
  line.hidden = !busy;
  if (!busy) return;
  const { state, began } = running;
  const counts = Object.entries(state?.progress ?? {}).filter(([, count]) => count > 0).map(([name, count]) => t(`debug.progress.${name}`, { n: count }));
  const words = running.stopped ? t("debug.stopping") : t(`debug.state.${state?.state ?? "waiting"}`);
  fill($(".progress-words", line), [words, state?.state === "waiting" && state.message, ...counts].filter(Boolean).join(" · "));
  fill($(".progress-time", line), `${((performance.now() - began) / 1000).toFixed(1)} s`);
}

// ---- the way through the steps

function into(next, other = project) {
  if (running) return;
  if (other !== project) {
    const there = () => { handOver(other, next); open(url(`/debug/${other}`)); };
    toast(t("debug.in_other", { project: other }), { action: { label: t("debug.open"), run: there } });
    return;
  }
  const step = steps.push(next);
  step.wantsFocus = true;
  showStep();
  run();
}

function travel(at) {
  if (running || at < 0 || at >= steps.list.length) return;
  steps.go(at);
  showStep();
  answers.focus();
}

function showStep() {
  const step = steps.current;
  if (task.state.doc.toString() !== step.text) replaceAll(task, step.text);
  answers.show(step);
  showSteps();
  showRunning();
}

function showSteps() {
  fill($(".crumbs"), steps.list.map((step, at) => h("li", {}, h("button.crumb", {
    type: "button", "aria-current": at === steps.at ? "step" : null, class: step.answer && !step.answer.ok ? "failed" : null,
    title: addressOf(step.text), onclick: () => travel(at) }, callbackOf(step.text)))));
  $("#back").disabled = !steps.canGoBack;
  $("#forward").disabled = !steps.canGoForward;
  $(".crumb[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function addressOf(text) {
  try { return JSON.parse(text).url ?? ""; } catch { return ""; }
}

function format() {
  try {
    replaceAll(task, formatted(JSON.parse(task.state.doc.toString())));
  } catch (error) {
    toast(t("debug.no_json", { why: error.message }), { kind: "bad" });
  }
  task.focus();
}

// ---- the frame around both

function showState() {
  const { dirty, version, checking } = saver;
  $("#save").classList.toggle("primary", dirty);
  $("#save-label").textContent = checking ? t("debug.checking") : t("debug.save");
  fill($(".version-chip"), version ? version.slice(0, 7) : t("debug.new_project"));
  $(".unsaved").hidden = !dirty;
  document.title = `${dirty ? "● " : ""}${project} · crawlkit`;
}

function showMarks(marks) {
  const errors = marks.filter((one) => one.severity === "error").length;
  fill($(".marks-count"), marks.length === 0 ? h("span.good", {}, t("debug.no_marks"))
    : h("button.link", { type: "button", class: errors ? "bad" : "warn", onclick: () => jump(marks[0].line, marks[0].column + 1) }, t(marks.length === 1 ? "debug.one_mark" : "debug.marks", { n: marks.length })));
}

function showCursor(state) {
  const { head } = state.selection.main;
  const line = state.doc.lineAt(head);
  $(".cursor").textContent = `${line.number}:${head - line.from + 1}`;
}

function jump(line, column) {
  if (isOutside()) return;
  pane("script");
  goTo(script, line, column);
}

/** Writes a method at the end of the class that has the callback; one that is there already is shown. */
function addMethod(method, callback) {
  if (isOutside()) return;
  const place = placeOf(script.state.doc.toString(), method, callback);
  if (!place) {
    toast(t("debug.no_class"), { kind: "bad" });
    return;
  }
  pane("script");
  if (!place.line) script.dispatch({ changes: { from: place.from, insert: place.text } });
  else toast(t("debug.method_there"));
  goTo(script, place.line ?? script.state.doc.lineAt(place.from).number + 2);
}

function focusOn(where) {
  pane(where === "script" ? "script" : "step");
  if (where === "script") script.focus();
  else if (where === "task") task.focus();
  else answers.focus();
}

function keysOfPage() {
  const help = {
    "Mod-Enter": "run", "Mod-.": "stop", "Mod-s": "save", "Alt-ArrowLeft": "back", "Alt-ArrowRight": "forward",
    "Alt-1": "to_script", "Alt-2": "to_task", "Alt-3": "to_answer", "Alt-4": "pick", F1: "help",
  };
  for (const [name, act] of Object.entries(ACTIONS)) {
    key(name.replace("Mod-", "Ctrl+").replace("Alt-", "Alt+"), t(`debug.keys.${help[name]}`), act, { always: true });
  }
  for (const [at, name] of TABS.entries()) key(String(at + 1), at ? "" : t("debug.keys.tabs"), () => { if (steps.current.answer && !$(`#tab-${name}`).hidden) answers.choose(name, true); });
  key("v", t("debug.keys.versions"), versions);
  for (const words of ["again", "list", "expand", "search", "complete", "marks", "tab"]) key(t(`debug.keyname.${words}`), t(`debug.keys.${words}`), () => {});
}

// Before the others, which do not look at Shift.
addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.stopPropagation();
  run({ again: true });
}, true);

const versions = () => showVersions(project, saver, (text) => { replaceAll(script, text); showState(); });

// ---- the beginning

async function begin() {
  const [stored, first] = await Promise.all([known === undefined ? null : storedScript(project), firstTask()]);
  const text = stored?.script ?? (await get("/starter", { project, url: startUrls.trim() })).script;
  steps.current.text = formatted(first);
  const keys = shortcuts(ACTIONS);
  script = scriptEditor($("#script"), text, t("debug.script"), { onChange: () => showState(), onCursor: showCursor, more: [keys, completion(), scriptMarks(showMarks)] });
  task = jsonEditor($("#task"), steps.current.text, t("debug.task"), {
    onChange: () => { steps.current.text = task.state.doc.toString(); showSteps(); showRunning(); },
    more: [keys, taskCompletion(), taskMarks(project)],
  });
  saver = new Saver({ project, view: script, stored, message: messageField(), jump, onState: showState, onSaved: () => {} });
  saver.begun = text;
  answers = new AnswerView(root, { into, jump, project, insert: (words) => { pane("script"); insert(script, words); }, addMethod });
  guard(saver);
  mountDivider(root);
  isOutside = mountOutside({ root, project, saver, onChange: (outside) => { pane(outside ? "step" : "script"); showState(); } });
  pane = mountTabs($(".pane-tabs"), (name) => { root.dataset.pane = name; });
  pane("script");
  keysOfPage();
  listen();
  showStep();
  showState();
  showCursor(script.state);
  root.removeAttribute("aria-busy");
  script.focus();
}

function listen() {
  const clicks = {
    "#run": () => run(), "#again": () => run({ again: true }), "#stop": stop, "#format": format, "#save": () => saver.save(), "#versions": versions,
    "#back": () => travel(steps.at - 1), "#forward": () => travel(steps.at + 1), "#first": () => { if (!running) { steps.begin(); showStep(); } },
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  messageField().addEventListener("keydown", (event) => { if (event.key === "Enter") saver.save(); });
}

const HANDED = "crawlkit.debug.task:"; // in the storage of this tab, which a tab that it opens gets a copy of

/** A message's task, for the debugger of the project that gets it. */
function handOver(other, next) {
  try { sessionStorage.setItem(HANDED + other, JSON.stringify(toStep(next))); } catch { /* it begins with on_start then */ }
}

function handedOver() {
  try {
    const handed = sessionStorage.getItem(HANDED + project);
    sessionStorage.removeItem(HANDED + project);
    return handed && JSON.parse(handed);
  } catch {
    return null;
  }
}

/** The task of ?taskid= or of another debugger, else the one that starts the project. */
async function firstTask() {
  if (!taskid) return handedOver() ?? FIRST;
  try {
    const stored = await get(`/projects/${project}/debug-task/${encodeURIComponent(taskid)}`);
    const link = $(".stored");
    link.hidden = false;
    link.href = url(`/task/${project}:${encodeURIComponent(taskid)}`);
    link.textContent = t("debug.stored", { status: stored.status });
    return toStep(stored.task);
  } catch (error) {
    oops(error);
    return FIRST;
  }
}

begin().catch((error) => {
  root.removeAttribute("aria-busy");
  oops(error);
  fill($(".answer-panel"), h("p.empty.bad", {}, error.detail || error.message));
});
