// Group, status and rate of a project, changed where they stand. Each change can be undone.
import { fill, h } from "./dom.js";
import { patch } from "./api.js";
import { oops, undoable } from "./toast.js";
import { t } from "./i18n.js";

export const STATUSES = ["TODO", "STOP", "CHECKING", "DEBUG", "RUNNING"];

async function change(project, wanted, before, words, after) {
  const place = `/projects/${encodeURIComponent(project.name)}`;
  await patch(place, wanted);
  after();
  undoable(t("dashboard.changed", { name: project.name, what: words }), async () => { await patch(place, before); after(); });
}

/** A button that shows a value and becomes a form when it is pressed. */
function editable(label, shown, build) {
  const open = (event) => {
    const cell = event.currentTarget.parentElement;
    const close = () => {
      const here = cell.contains(document.activeElement); // else somebody went on to another field meanwhile
      fill(cell, editable(label, shown, build));
      if (here) cell.querySelector("button")?.focus();
    };
    fill(cell, build(close));
    const field = cell.querySelector("input, select");
    field.focus();
    field.select?.();
  };
  return h("button.editable", { type: "button", title: label, "aria-label": label, onclick: open }, shown);
}

/** A one-line form: Enter saves, Escape leaves, a refusal is said below. */
function lineForm(value, label, close, save, props = {}) {
  const error = h("span.error", { role: "alert", hidden: true });
  const input = h("input", { type: "text", value, "aria-label": label, autocomplete: "off", spellcheck: "false", ...props });
  let busy = false; // also when it is over: what leaves the page loses its focus once more
  const leave = () => { busy = true; close(); };
  const submit = async (event) => {
    event?.preventDefault();
    if (busy) return;
    if (input.value === value) { leave(); return; }
    busy = true;
    try {
      await save(input.value.trim());
      close();
      return;
    } catch (problem) {
      input.setAttribute("aria-invalid", "true");
      error.hidden = false;
      error.textContent = problem.detail || problem.message;
      input.focus();
    }
    busy = false;
  };
  return h("form.inline", { onsubmit: submit,
    onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); leave(); } },
    onfocusout: (event) => { if (!busy && !event.currentTarget.contains(event.relatedTarget) && input.getAttribute("aria-invalid") !== "true") submit(); },
  }, input, error);
}

export function groupEdit(project, shown, after) {
  const label = t("dashboard.edit_group", project);
  return editable(label, shown, (close) => lineForm(project.group, label, close,
    (group) => change(project, { group }, { group: project.group }, `${t("dashboard.group")} ${group || "–"}`, after), { maxlength: 64 }));
}

export function statusEdit(project, shown, after) {
  const label = t("dashboard.edit_status", project);
  return editable(label, shown, (close) => {
    const pick = async (event) => {
      const status = event.target.value;
      try {
        await change(project, { status }, { status: project.status }, status, after);
      } catch (problem) { oops(problem); }
      close();
    };
    return h("select", { "aria-label": label, onchange: pick,
      onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } },
      onblur: (event) => { if (event.target.value === project.status) close(); } },
    STATUSES.map((one) => h("option", { value: one, selected: one === project.status }, one)));
  });
}

/** "2/5", "0.5", "unlimited/10", "default" as a change; throws in words. */
export function parseRate(text) {
  const said = text.toLowerCase().trim();
  if (["default", "standard", t("dashboard.default").toLowerCase()].includes(said)) return { rate_set: false };
  const [first, second, ...rest] = said.split("/").map((one) => one.trim());
  const wanted = {};
  if (["unlimited", "∞", t("dashboard.unlimited").toLowerCase()].includes(first)) wanted.rate = null;
  else if (/^\d+(\.\d+)?$/.test(first) && Number(first) <= 1e6) wanted.rate = Number(first);
  else throw new Error(t("dashboard.rate_wrong"));
  if (rest.length) throw new Error(t("dashboard.rate_wrong"));
  if (second !== undefined) {
    if (!/^\d+(\.\d+)?$/.test(second) || Number(second) < 1 || Number(second) > 1e6) throw new Error(t("dashboard.burst_wrong"));
    wanted.burst = Number(second);
  }
  return wanted;
}

export function rateEdit(project, shown, after) {
  const label = t("dashboard.edit_rate", project);
  const now = `${project.rate === null ? "unlimited" : project.rate}/${project.burst}`;
  return editable(label, shown, (close) => lineForm(now, label, close, (text) => {
    const before = project.rate_set ? { rate: project.rate, burst: project.burst } : { rate_set: false };
    return change(project, parseRate(text), before, text, after);
  }));
}
