// Two panes with a divider between them; on a narrow screen two tabs.
import { $, $$ } from "../dom.js";

const STORED = "crawlkit.debug.divider";
const LEAST = 22; // percent of the width that either pane keeps
const NORMAL = 46;

const clamp = (share) => Math.min(Math.max(share, LEAST), 100 - LEAST);

function stored() {
  try { return Number(localStorage.getItem(STORED)) || NORMAL; } catch { return NORMAL; }
}

export function mountDivider(root) {
  const bar = $(".divider", root);
  const set = (share) => {
    share = clamp(share);
    root.style.setProperty("--left", `${share}%`);
    bar.setAttribute("aria-valuenow", String(Math.round(share)));
    try { localStorage.setItem(STORED, String(share)); } catch { /* it holds for this page only */ }
  };
  bar.setAttribute("aria-valuemin", String(LEAST));
  bar.setAttribute("aria-valuemax", String(100 - LEAST));
  set(stored());
  const current = () => Number(bar.getAttribute("aria-valuenow"));
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -2, ArrowRight: 2, PageUp: -10, PageDown: 10 }[event.key];
    if (step) set(current() + step);
    else if (event.key === "Home") set(LEAST);
    else if (event.key === "End") set(100 - LEAST);
    else if (event.key === "Enter") set(NORMAL);
    else return;
    event.preventDefault();
  });
  bar.addEventListener("dblclick", () => set(NORMAL));
  bar.addEventListener("pointerdown", (event) => {
    bar.setPointerCapture(event.pointerId);
    root.classList.add("dragging"); // frames would swallow the pointer
    const box = root.getBoundingClientRect();
    const move = (moved) => set(((moved.clientX - box.left) / box.width) * 100);
    bar.addEventListener("pointermove", move);
    const done = () => { root.classList.remove("dragging"); bar.removeEventListener("pointermove", move); };
    bar.addEventListener("lostpointercapture", done, { once: true });
    event.preventDefault();
  });
}

/** Tabs by the keyboard: arrows move, and what is reached is shown. `choose(name)` marks and shows. */
export function mountTabs(list, shown) {
  const tabs = () => $$('[role="tab"]', list).filter((tab) => !tab.hidden);
  const choose = (name, focus = false) => {
    for (const tab of $$('[role="tab"]', list)) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
      if (chosen && focus) tab.focus();
    }
    shown(name);
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) choose(tab.dataset.tab);
  });
  list.addEventListener("keydown", (event) => {
    const all = tabs();
    const at = all.indexOf(event.target.closest('[role="tab"]'));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(all[(to + all.length) % all.length].dataset.tab, true);
  });
  return choose;
}
