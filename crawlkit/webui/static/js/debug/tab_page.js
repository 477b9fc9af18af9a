// The page as a browser shows it, in a frame of its own, with the selector helper; loaded when it is first looked at.
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { oops } from "../toast.js";

export function pageTab({ page, response }, { project, insert }) {
  if (!page || !response) return [h("p.empty", {}, t("debug.no_page"))];
  const box = h("div.pagebox");
  let gone = false;
  const panel = import("../selector_panel.js")
    .then(({ mountSelectorPanel }) => (gone ? null : mountSelectorPanel(box, { project, page, response, insert })))
    .catch((error) => { oops(error); return null; });
  box.dispose = () => { gone = true; panel.then((mounted) => mounted?.dispose()); };
  box.pick = () => panel.then((mounted) => mounted?.pick());
  return [box];
}
