// One line of the logs as an element: its head, its text, and on demand all that is known of it.
import { h } from "./dom.js";
import { url } from "./api.js";
import { locale, t } from "./i18n.js";

const CLOCK = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric" });
const KINDS = [[50, "is-error", "C"], [40, "is-error", "E"], [30, "is-warning", "W"], [20, "is-info", "I"], [0, "is-debug", "D"]];
const LONG = 600; // characters of a text that are shown before it is opened
const LINES = 3;

export const taskPlace = (line) => url(`/task/${encodeURIComponent(line.project)}:${encodeURIComponent(line.taskid)}`);
export const projectPlace = (name) => url(`/projects/${encodeURIComponent(name)}`);

const levelOf = (line) => KINDS.find(([least]) => line.level >= least);
const levelName = (level) => t(`logs.level_${Math.min(50, Math.max(10, Math.floor(level / 10) * 10))}`);

export function fullTime(time) {
  const date = new Date(time * 1000);
  return `${DAY.format(date)}, ${CLOCK.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function shortTime(time) {
  const date = new Date(time * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return `${today ? "" : `${DAY.format(date)} `}${CLOCK.format(date)}`;
}

function shortened(text) {
  const lines = text.split("\n");
  let head = lines.length > LINES + 1 ? lines.slice(0, LINES).join("\n") : text;
  if (head.length > LONG) head = head.slice(0, LONG);
  return head === text ? text : `${head} …`;
}

/** A line; `only(name, value)` is called when one asks for the lines of the same project, process or task. */
export function logLine(line, only) {
  const [, kind, letter] = levelOf(line);
  const short = shortened(line.text);
  const text = h("span.logtext", {}, short);
  const toggle = h("button.logtoggle", { type: "button", "aria-expanded": "false", "aria-label": t("logs.details") }, "›");
  const source = line.project ? h("a", { href: projectPlace(line.project) }, line.project, line.callback && h("span.muted", {}, `.${line.callback}`)) : line.logger || line.role;
  const element = h("li.logline", { class: kind, dataset: { n: line.n } }, toggle,
    h("time.logtime", { datetime: new Date(line.time * 1000).toISOString(), title: fullTime(line.time) }, shortTime(line.time)),
    h("span.loglevel", { title: levelName(line.level) }, h("span", { "aria-hidden": "true" }, letter), h("span.visually-hidden", {}, levelName(line.level))),
    h("span.logsource", { title: line.node }, source), text,
    line.taskid ? h("a.logtask", { href: taskPlace(line), title: line.url || t("logs.task_link", { id: line.taskid }), "aria-label": t("logs.task_link", { id: line.taskid.slice(0, 8) }) }, line.taskid.slice(0, 6)) : h("span"));
  let details = null;

  function open() {
    const isOpen = toggle.getAttribute("aria-expanded") === "true";
    toggle.setAttribute("aria-expanded", String(!isOpen));
    element.classList.toggle("open", !isOpen);
    text.textContent = isOpen ? short : line.text;
    if (isOpen) details?.remove();
    else element.append(details ??= facts(line, only));
  }
  toggle.addEventListener("click", open);
  element.addEventListener("click", (event) => {
    if (!event.target.closest("a, button, .logfacts") && !String(getSelection())) open();
  });
  return element;
}

function facts(line, only) {
  const pick = (name, value, shown = value) => h("button.link", { type: "button", onclick: () => only(name, value) }, shown);
  const rows = [
    [t("logs.time"), fullTime(line.time)],
    [t("logs.level"), levelName(line.level)],
    line.project && [t("logs.project"), [h("a", { href: projectPlace(line.project) }, line.project), " · ", pick("project", line.project, t("logs.only"))]],
    line.taskid && [t("logs.task"), [h("a", { href: taskPlace(line) }, line.taskid), " · ", pick("task", line.taskid, t("logs.only"))]],
    line.url && ["URL", h("span.wrap", {}, line.url)],
    [t("logs.node"), [line.node, " · ", pick("node", line.node, t("logs.only"))]],
    line.logger && [t("logs.logger"), line.logger],
  ];
  return h("dl.facts.logfacts", {}, rows.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
