// The script is edited elsewhere, by WebDAV or `crawlkit project sync`: the editor goes, and what is stored runs.
import { $ } from "../dom.js";
import { t } from "../i18n.js";
import { oops, toast } from "../toast.js";
import { replaceAll } from "./editor.js";
import { storedScript } from "./saving.js";

/** A switch; `saver` is the editor's state. Returns whether the stored script is the one to run. */
export function mountOutside({ root, project, saver, onChange }) {
  const button = $("#outside");
  let outside = false;

  async function back() {
    const stored = await storedScript(project);
    if (!stored || stored.version === saver.version) return;
    saver.script = stored.script;
    saver.version = stored.version;
    replaceAll(saver.view, stored.script);
  }

  button.addEventListener("click", async () => {
    if (!outside && saver.dirty) { toast(t("debug.outside_unsaved")); return; }
    try { if (outside) await back(); } catch (error) { oops(error); return; }
    outside = !outside;
    button.setAttribute("aria-pressed", String(outside));
    root.classList.toggle("outside", outside);
    onChange(outside);
  });
  return () => outside;
}
