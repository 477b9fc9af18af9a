// What the script's editor proposes: the handler API, read by the server from crawlkit's own code.
import * as cm from "../../vendor/codemirror.js";
import { get } from "../api.js";
import { h } from "../dom.js";

const KINDS = { method: "method", property: "property", keyword: "keyword", function: "function" };
let catalogue = null;
const known = () => (catalogue ??= get("/completion").catch((error) => { catalogue = null; throw error; }));

/** The docs beside a proposal and under the pointer. */
function explained(entry) {
  return h("div.doc", {}, h("code", {}, entry.kind === "keyword" ? `${entry.name}: ${entry.detail}` : `${entry.name}${entry.detail.startsWith("(") ? "" : " "}${entry.detail}`),
    entry.doc.split(/\n{2,}/).map((part) => h("p", {}, part.replaceAll("\n", " "))));
}

/** `#` in what is written is where the cursor goes. */
function apply(entry) {
  const text = entry.insert || entry.name;
  if (!text.includes("#")) return text;
  return (view, completion, from, to) => {
    const indent = /^\s*/.exec(view.state.doc.lineAt(from).text)[0];
    const whole = text.replaceAll("\n", `\n${indent}`);
    const cursor = whole.indexOf("#");
    const after = view.state.sliceDoc(to, to + 1);
    const written = after === "(" ? entry.name : whole.replace("#", "");
    view.dispatch({
      changes: { from, to, insert: written }, userEvent: "input.complete",
      selection: { anchor: from + (after === "(" ? written.length + 1 : cursor) },
    });
    if (written.endsWith("=") || written.endsWith(".")) cm.startCompletion(view);
  };
}

const option = (entry, section) => ({
  label: entry.name, type: KINDS[entry.kind] ?? "variable", boost: entry.rank ?? 0, section,
  detail: entry.kind === "keyword" ? entry.detail : entry.detail.slice(0, 60), info: () => explained(entry), apply: apply(entry),
});

/** Methods and attributes that the script itself gives its handlers. */
function ownNames(text) {
  const names = new Map();
  for (const [, name, rest] of text.matchAll(/^[ \t]+(?:async )?def (\w+)\(self(?:,\s*)?([^)\n]*)/gm)) {
    if (!name.startsWith("__")) names.set(name, { name, kind: "method", detail: `(${rest})`, doc: "", rank: 1 });
  }
  for (const [, name] of text.matchAll(/\bself\.(\w+)\s*=[^=]/g)) if (!names.has(name)) names.set(name, { name, kind: "property", detail: "", doc: "" });
  return [...names.values()];
}

/** The call whose brackets hold `pos`: its name (crawl, every, ...) and the names of arguments given already. */
export function callAround(state, pos) {
  for (let node = cm.syntaxTree(state).resolveInner(pos, -1); node; node = node.parent) {
    if (node.name === "FunctionDefinition" || node.name === "ClassDefinition") return null;
    if (node.name !== "ArgList" || pos <= node.from) continue;
    const before = state.sliceDoc(Math.max(0, node.from - 60), node.from);
    const name = /(?:\bself\.|@)(\w+)\s*$/.exec(before)?.[1];
    if (!name) return null;
    const given = new Set();
    for (let child = node.firstChild; child; child = child.nextSibling) {
      if (child.name === "VariableName" && child.nextSibling?.name === "AssignOp") given.add(state.sliceDoc(child.from, child.to));
    }
    return { name, given };
  }
  return null;
}

async function propose(context) {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  const node = cm.syntaxTree(context.state).resolveInner(context.pos, -1);
  if (/String|Comment/.test(node.name)) return null;
  const member = /\b(self|response)\.(\w*)$/.exec(before);
  const found = await known();
  if (member) {
    const from = context.pos - member[2].length;
    if (member[1] === "response") return { from, options: found.response.map((one) => option(one)), validFor: /^\w*$/ };
    const own = ownNames(context.state.doc.toString());
    const callback = /callback\s*=\s*self\.\w*$/.test(before);
    const names = callback ? own.filter((one) => one.kind === "method") : [...own, ...found.handler.filter((one) => !own.some((other) => other.name === one.name))];
    return { from, options: names.map((one) => option({ ...one, insert: callback ? "" : one.insert })), validFor: /^\w*$/ };
  }
  const decorator = /^\s*@(\w*)$/.exec(before);
  if (decorator) return { from: context.pos - decorator[1].length, options: found.decorators.map((one) => option(one)), validFor: /^\w*$/ };
  const hook = /^\s+(?:async )?def (\w*)$/.exec(before);
  if (hook) return { from: context.pos - hook[1].length, options: found.hooks.map((one) => option(one)), validFor: /^\w*$/ };
  return proposeArgument(context, before, found);
}

function proposeArgument(context, before, found) {
  const word = /(?:^|[(,\s])(\w*)$/.exec(before);
  if (!word) return null;
  const from = context.pos - word[1].length;
  const lead = context.state.sliceDoc(Math.max(0, from - 400), from).trimEnd().slice(-1);
  const call = lead === "(" || lead === "," ? callAround(context.state, from) : null;
  const entries = call && found.arguments[call.name];
  if (!entries || (!context.explicit && !word[1] && lead !== ",")) return null;
  const options = entries.filter((one) => !call.given.has(one.name) && one.name !== "url").map((one) => ({ ...option(one), boost: 50 + one.rank }));
  return { from, options, validFor: /^\w*$/ };
}

/** What any Python editor proposes, where no member or decorator is wanted. */
const elsewhere = (source) => (context) => (context.matchBefore(/(?:\.|@)\w*$/) ? null : source(context));

const pointedAt = (found, state, word) => {
  const before = state.sliceDoc(Math.max(0, word.from - 40), word.from);
  const name = state.sliceDoc(word.from, word.to);
  const list = /\bself\.$/.test(before) ? found.handler : /\bresponse\.$/.test(before) ? found.response
    : /@$/.test(before) ? found.decorators : /[(,\s]$/.test(before) && /^\s*=/.test(state.sliceDoc(word.to, word.to + 3))
      ? found.arguments[callAround(state, word.from)?.name] : null;
  return list?.find((one) => one.name === name);
};

/** Proposals while one types, and docs under the pointer. */
export function completion() {
  return [
    cm.autocompletion({
      icons: false, maxRenderedOptions: 60, activateOnTypingDelay: 50,
      override: [(context) => propose(context).catch(() => null), elsewhere(cm.localCompletionSource), elsewhere(cm.globalCompletion)],
    }),
    cm.hoverTooltip(async (view, pos) => {
      const word = view.state.wordAt(pos);
      const entry = word && pointedAt(await known().catch(() => ({})), view.state, word);
      return entry ? { pos: word.from, end: word.to, above: true, create: () => ({ dom: h("div.cm-docs", {}, explained(entry)) }) } : null;
    }, { hoverTime: 350 }),
  ];
}

/** Names in the task's JSON, by the object they stand in. */
export function taskCompletion() {
  return [
    cm.autocompletion({ icons: false, activateOnTypingDelay: 50 }),
    cm.EditorState.languageData.of(() => [{ autocomplete: (context) => proposeField(context).catch(() => null) }]),
  ];
}

async function proposeField(context) {
  const word = context.matchBefore(/"\w*/);
  if (!word && !context.explicit) return null;
  const from = word ? word.from : context.pos;
  const lead = context.state.sliceDoc(Math.max(0, from - 200), from).trimEnd().slice(-1);
  if (lead !== "{" && lead !== ",") return null;
  const fields = (await known()).task[partAt(context.state, from)];
  if (!fields) return null;
  const options = fields.map((one) => ({
    label: `"${one.name}"`, type: "property", detail: one.detail, info: () => explained({ ...one, kind: "keyword" }),
    apply: (view, chosen, start, end) => {
      const closing = view.state.sliceDoc(end, end + 1) === '"' ? 1 : 0;
      const text = `"${one.name}": `;
      view.dispatch({ changes: { from: start, to: end + closing, insert: text }, selection: { anchor: start + text.length } });
    },
  }));
  return { from, options, validFor: /^"\w*$/ };
}

/** "" for the task itself, "fetch", "schedule" or "process" inside of these, null elsewhere. */
function partAt(state, pos) {
  const names = [];
  for (let node = cm.syntaxTree(state).resolveInner(pos, 0); node; node = node.parent) {
    if (node.name !== "Property") continue;
    const name = node.getChild("PropertyName");
    if (name && pos > name.to) names.unshift(JSON.parse(state.sliceDoc(name.from, name.to)));
  }
  return names.length === 0 ? "" : names.length === 1 ? names[0] : null;
}
