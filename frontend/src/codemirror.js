// The one door to CodeMirror 6: what crawlkit's pages use of it, and nothing else, so that the bundle stays small.
// Colours are not here: classHighlighter gives class names, and static/css/editor.css gives them light and dark colours.

export {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  closeCompletion,
  completionKeymap,
  completionStatus,
  currentCompletions,
  snippet,
  startCompletion,
} from "@codemirror/autocomplete";
export { defaultKeymap, history, historyKeymap, indentWithTab, redo, toggleComment, undo } from "@codemirror/commands";
export { html } from "@codemirror/lang-html";
export { json, jsonParseLinter } from "@codemirror/lang-json";
export { globalCompletion, localCompletionSource, python, pythonLanguage } from "@codemirror/lang-python";
export {
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
export { forEachDiagnostic, forceLinting, lintGutter, linter, lintKeymap, nextDiagnostic, setDiagnostics } from "@codemirror/lint";
export { MergeView, goToNextChunk, goToPreviousChunk, unifiedMergeView } from "@codemirror/merge";
export { gotoLine, highlightSelectionMatches, openSearchPanel, search, searchKeymap } from "@codemirror/search";
export { Annotation, Compartment, EditorSelection, EditorState, Prec, StateEffect, StateField, Text } from "@codemirror/state";
export {
  Decoration,
  EditorView,
  crosshairCursor,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  hoverTooltip,
  keymap,
  lineNumbers,
  placeholder,
  rectangularSelection,
  tooltips,
} from "@codemirror/view";
export { classHighlighter } from "@lezer/highlight";
