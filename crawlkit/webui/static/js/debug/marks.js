// Marks while one types: the server reads the script, and the task, as a run would, and says what is wrong.
import * as cm from "../../vendor/codemirror.js";
import { post } from "../api.js";

const PAUSE = 300; // ms after the last key

const placeOf = (doc, line, column) => {
  const found = doc.line(Math.min(Math.max(line, 1), doc.lines));
  return Math.min(found.from + Math.max(column, 0), found.to);
};

/** Marks of the script; `said(marks)` is told how many there are. */
export function scriptMarks(said) {
  let late = 0;
  return cm.linter(async (view) => {
    const mine = ++late;
    const { doc } = view.state;
    const { marks } = await post("/lint", { script: doc.toString() }).catch(() => ({ marks: [] }));
    if (mine !== late) return [];
    said(marks);
    return marks.map((one) => {
      const from = placeOf(doc, one.line, one.column);
      const to = Math.max(from, placeOf(doc, one.end_line, one.end_column));
      return { from, to, severity: one.severity, message: one.message, source: one.code };
    });
  }, { delay: PAUSE });
}

/** Marks of the task's JSON in the debugger of `project`. */
export function taskMarks(project) {
  return cm.linter(async (view) => {
    const text = view.state.doc.toString();
    const { mistake } = await post(`/projects/${project}/lint-task`, { task: text }).catch(() => ({ mistake: null }));
    return mistake ? [{ ...rangeOf(view.state, mistake), severity: "error", message: mistake.message }] : [];
  }, { delay: PAUSE });
}

function rangeOf(state, { line, column, path }) {
  if (line) {
    const from = placeOf(state.doc, line, (column ?? 1) - 1);
    return { from, to: from };
  }
  let node = cm.syntaxTree(state).topNode.firstChild;
  for (const name of path) {
    const property = node?.name === "Object" && node.getChildren("Property").find((one) => {
      const key = one.getChild("PropertyName");
      return key && state.sliceDoc(key.from + 1, key.to - 1) === name;
    });
    if (!property) break;
    node = property.lastChild ?? property;
  }
  return node && node.to - node.from < 400 ? { from: node.from, to: node.to } : { from: 0, to: Math.min(1, state.doc.length) };
}
