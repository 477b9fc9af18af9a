// The way one went through the site: one step is one task, with its page and its answer. Data only; nothing is shown here.

const MOST = 60;

export const FIRST = { url: "data:,on_start", process: { callback: "on_start" } };

const LINE = 68; // characters of an object that stays on one line

/** A task as JSON for people: what is short stays on one line. */
export function formatted(value, indent = "") {
  const line = oneLine(value);
  if (value === null || typeof value !== "object" || (indent && line.length <= LINE)) return line;
  const inner = `${indent}  `;
  const parts = Array.isArray(value) ? value.map((one) => formatted(one, inner))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${formatted(one, inner)}`);
  const [begin, end] = Array.isArray(value) ? "[]" : "{}";
  return parts.length ? `${begin}\n${parts.map((one) => inner + one).join(",\n")}\n${indent}${end}` : begin + end;
}

function oneLine(value) {
  if (Array.isArray(value)) return `[${value.map(oneLine).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${oneLine(one)}`).join(", ")}}`;
}

/** A follow-up as a step shows it: without its project, which is at hand, and without parts that say nothing. */
export function toStep(task) {
  const said = Object.entries(task).filter(([name, part]) => name !== "project"
    && !(part && typeof part === "object" && Object.keys(part).length === 0));
  return Object.fromEntries(said);
}

/** The part of a task that decides what is fetched, as text; null when the task is no JSON. */
export function requestOf(text) {
  try {
    const task = JSON.parse(text);
    return JSON.stringify([task.url ?? null, task.fetch ?? {}]);
  } catch {
    return null;
  }
}

export function callbackOf(text) {
  try {
    const task = JSON.parse(text);
    return task.process?.callback || "__call__";
  } catch {
    return "?";
  }
}

export class Steps {
  constructor(task = FIRST) {
    this.list = [];
    this.at = -1;
    this.push(task);
  }

  get current() { return this.list[this.at]; }
  get canGoBack() { return this.at > 0; }
  get canGoForward() { return this.at < this.list.length - 1; }

  /** To the step that starts everything, if it is on the way already; else it is a step anew. */
  begin(task = FIRST) {
    const at = this.list.findIndex((step) => step.text === formatted(toStep(task)));
    return at >= 0 ? this.go(at) : this.push(task);
  }

  /** A step after the one at hand; those that came after it are forgotten. */
  push(task) {
    const step = { text: formatted(toStep(task)), page: null, request: null, answer: null, state: null, tab: null };
    this.list = [...this.list.slice(0, this.at + 1), step].slice(-MOST);
    this.at = this.list.length - 1;
    return step;
  }

  go(at) {
    this.at = Math.min(Math.max(at, 0), this.list.length - 1);
    return this.current;
  }

  /** The page to run on again: there is one, and the task still asks for it. */
  pageToUse(step = this.current) {
    return step.page && step.request === requestOf(step.text) ? step.page : null;
  }

  /** A run of `step` is over. */
  note(step, answer, text) {
    step.answer = answer;
    if (answer.page) {
      step.page = answer.page;
      step.request = requestOf(text);
    }
  }
}
