// Editors as the debugger uses them: the script, the task's JSON, and views of text for reading.
import * as cm from "../../vendor/codemirror.js";
import { meta } from "../dom.js";
import { t } from "../i18n.js";

const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

const views = new Set();
const darkness = new cm.Compartment();

function repaint() {
  for (const view of views) {
    if (view.dom.isConnected) view.dispatch({ effects: darkness.reconfigure(cm.EditorView.darkTheme.of(isDark())) });
    else views.delete(view);
  }
}
document.addEventListener("themechange", repaint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

/** What all editors and views share; colours are in css/editor.css. */
function common(label) {
  return [
    cm.EditorView.cspNonce.of(meta("csp-nonce")),
    darkness.of(cm.EditorView.darkTheme.of(isDark())),
    cm.syntaxHighlighting(cm.classHighlighter),
    cm.highlightSpecialChars(),
    cm.drawSelection(),
    cm.search({ top: true }),
    cm.highlightSelectionMatches(),
    cm.EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
  ];
}

function writing() {
  return [
    cm.history(), cm.dropCursor(), cm.indentOnInput(), cm.bracketMatching(), cm.closeBrackets(), cm.highlightActiveLine(),
    cm.EditorState.allowMultipleSelections.of(true), cm.rectangularSelection(), cm.crosshairCursor(),
    cm.keymap.of([
      { key: "Tab", run: (view) => cm.acceptCompletion(view) || cm.completionStatus(view.state) === "active" }, ...cm.closeBracketsKeymap, ...cm.searchKeymap, ...cm.historyKeymap, ...cm.foldKeymap, ...cm.completionKeymap,
      ...cm.lintKeymap, ...cm.defaultKeymap, cm.indentWithTab,
    ]),
  ];
}

/** Keys that mean the same in every editor of the page: {"Mod-Enter": run, ...}; they go before the editor's own. */
export function shortcuts(actions) {
  return cm.Prec.highest(cm.keymap.of(Object.entries(actions).map(([key, act]) => ({ key, run: () => { act(); return true; } }))));
}

export function open(parent, doc, extensions, scrollTo = null) {
  const view = new cm.EditorView({ parent, state: cm.EditorState.create({ doc, extensions }), scrollTo });
  views.add(view);
  return view;
}

/** The script's editor. `onChange(text)`, `more`: extensions for completion, marks and keys. */
export function scriptEditor(parent, doc, label, { onChange, onCursor, readOnly = false, more = [] }) {
  return open(parent, doc, [
    ...more, common(label), cm.lineNumbers(), cm.highlightActiveLineGutter(), cm.foldGutter(), cm.lintGutter(),
    cm.indentUnit.of("    "), cm.python(), writing(), flashes,
    cm.EditorState.readOnly.of(readOnly),
    cm.EditorView.updateListener.of((update) => {
      if (update.docChanged) onChange?.();
      if (update.selectionSet || update.docChanged) onCursor?.(update.state);
    }),
  ]);
}

/** The task's JSON. */
export function jsonEditor(parent, doc, label, { onChange, more = [] }) {
  return open(parent, doc, [
    ...more, common(label), cm.json(), cm.EditorView.lineWrapping, cm.indentUnit.of("  "), writing(),
    cm.EditorView.updateListener.of((update) => { if (update.docChanged) onChange?.(); }),
  ]);
}

const LANGUAGES = { html: () => cm.html({ autoCloseTags: false }), json: cm.json, python: cm.python, text: () => [] };
const LONGEST = 400_000; // characters that are coloured; more is shown plain

/** Text to read and search in, with `language` html, json, python or text. */
export function reader(parent, doc, label, language = "text") {
  const extensions = [
    common(label), cm.lineNumbers(), cm.EditorState.readOnly.of(true), cm.EditorView.lineWrapping,
    cm.keymap.of([...cm.searchKeymap, ...cm.foldKeymap, ...cm.defaultKeymap]),
  ];
  if (doc.length < LONGEST) extensions.push(LANGUAGES[language](), cm.foldGutter());
  return open(parent, doc, extensions);
}

/** Two texts side by side, the second editable when `onChange` is given. Below 700 px they are one, with marks. */
export function compare(parent, before, after, labels, { onChange = null } = {}) {
  const side = (label, locked) => [
    common(label), cm.EditorView.lineWrapping, cm.EditorState.phrases.of({ Accept: t("debug.keep_yours"), Reject: t("debug.take_that") }), cm.lineNumbers(), cm.python(), cm.indentUnit.of("    "), cm.EditorState.readOnly.of(locked), locked ? [] : writing(),
    locked ? [] : cm.EditorView.updateListener.of((update) => { if (update.docChanged) onChange(update.state.doc.toString()); }),
  ];
  const collapse = { margin: 3, minSize: 6 };
  if (matchMedia("(max-width: 700px)").matches) {
    const merged = cm.unifiedMergeView({ original: before, mergeControls: Boolean(onChange), collapseUnchanged: collapse });
    return open(parent, after, [side(labels[1], !onChange), merged]);
  }
  const merge = new cm.MergeView({
    parent, a: { doc: before, extensions: side(labels[0], true) }, b: { doc: after, extensions: side(labels[1], !onChange) },
    collapseUnchanged: collapse, revertControls: onChange ? "a-to-b" : undefined, gutter: true,
  });
  views.add(merge.a).add(merge.b);
  return merge;
}

// ---- a line that is pointed at

const flash = cm.StateEffect.define();
const flashes = cm.StateField.define({
  create: () => cm.Decoration.none,
  update(marks, transaction) {
    marks = marks.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(flash)) {
        marks = effect.value === null ? cm.Decoration.none
          : cm.Decoration.set([cm.Decoration.line({ class: "cm-flash" }).range(effect.value)]);
      }
    }
    return marks;
  },
  provide: (field) => cm.EditorView.decorations.from(field),
});

/** Puts the cursor on a line (from 1) and shows where it is. */
export function goTo(view, number, column = 1) {
  const line = view.state.doc.line(Math.min(Math.max(number, 1), view.state.doc.lines));
  const at = Math.min(line.from + Math.max(column - 1, 0), line.to);
  view.dispatch({
    selection: { anchor: at }, effects: [flash.of(line.from), cm.EditorView.scrollIntoView(at, { y: "center" })],
  });
  view.focus();
  setTimeout(() => { if (view.dom.isConnected) view.dispatch({ effects: flash.of(null) }); }, 1600);
}

/** Replaces all text, as one step of undo. */
export function replaceAll(view, text) {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

/** Writes text at the cursor, in place of what is selected. */
export function insert(view, text) {
  view.dispatch(view.state.replaceSelection(text), { scrollIntoView: true });
  view.focus();
}
