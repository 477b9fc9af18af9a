// Keyboard shortcuts of a page, and the help that lists them.
import { h } from "./dom.js";
import { dialog } from "./dialog.js";
import { t } from "./i18n.js";

const known = [];
let pending = "";

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable], .cm-editor, dialog");

/** Adds a shortcut: `keys` like "j", "g t", "Ctrl+s" (Ctrl is Cmd on a Mac), its help text, and what it does. */
export function key(keys, help, run, { always = keys.includes("Ctrl") } = {}) {
  known.push({ keys, help, run, always });
}

function nameOf(event) {
  const plain = event.key.length === 1 ? event.key : event.key;
  return (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + (event.altKey ? "Alt+" : "") + plain;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const name = nameOf(event);
  const both = pending ? `${pending} ${name}` : name;
  const found = known.find((one) => one.keys === both) ?? known.find((one) => one.keys === name);
  pending = !pending && known.some((one) => one.keys.startsWith(`${name} `)) && !typing(event.target) ? name : "";
  if (pending) setTimeout(() => { pending = ""; }, 1500);
  if (!found || (typing(event.target) && !found.always)) return;
  event.preventDefault();
  found.run(event);
});

/** Shows all shortcuts of this page. */
export function showKeys() {
  const parts = (keys) => keys.split(/(?<=.) (?=.)/).map((one) => h("kbd", {}, one));
  return dialog(t("base.keys"), (close) => [
    h("dl.keys", {}, known.filter((one) => one.help).map((one) => [h("dt", {}, parts(one.keys)), h("dd", {}, one.help)])),
    h("div.dialog-actions", {}, h("button.button", { type: "button", autofocus: true, onclick: () => close() }, t("base.close"))),
  ]);
}
