// The one list component: filtered, sorted and paged by the server; its state is in the page's address.
import { debounce, fill, h } from "./dom.js";
import { get } from "./api.js";
import { key } from "./keys.js";
import { number, t } from "./i18n.js";

/**
 * Mounts a list into `element`. Options:
 *   load(params, signal) -> {items, total, next}; or endpoint: a path of the API
 *   columns: [{key, title, render(row) -> node or text, sort: name of the server's sort, numeric, optional (hidden when narrow)}]
 *   columnsFor(page): other columns for each page, when they depend on what is there
 *   filters: [{name, label, type: "search" | "select" | "datetime-local" | "text", options: [[value, text]], placeholder}]
 *   rowKey(row), rowClass(row), tableClass, rowHref(row), onOpen(row), empty (text), limit, sort (default, "-name" descends), fixed (params always sent)
 *   selectable is not here on purpose: actions on many rows are actions on a filter.
 * Returns {reload, update(row), params, rows}.
 */
export function mountTable(element, options) {
  const { filters = [], rowKey = (row) => row.id, limit = 50 } = options;
  const load = options.load ?? ((params, signal) => get(options.endpoint, params, signal));
  const state = { ...readAddress(), cursors: [], rows: [], total: null, next: null, selected: -1 };
  const body = h("tbody");
  const status = h("p.tablestatus", { role: "status" });
  const pager = h("div.pager");
  const head = h("tr");
  const heads = new Map();
  let columns = [];
  let running = null;

  function readAddress() {
    const search = new URLSearchParams(location.search);
    const values = Object.fromEntries(filters.map((one) => [one.name, search.get(one.name) ?? one.value ?? ""]));
    return { values, sort: search.get("sort") ?? options.sort ?? "", cursor: search.get("cursor") ?? "" };
  }

  function writeAddress() {
    const search = new URLSearchParams(location.search);
    for (const one of filters) set(search, one.name, state.values[one.name] === (one.value ?? "") ? "" : state.values[one.name]);
    set(search, "sort", state.sort === (options.sort ?? "") ? "" : state.sort);
    set(search, "cursor", state.cursor);
    const text = search.toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  }

  function params() {
    const values = Object.fromEntries(Object.entries(state.values).filter(([, value]) => value !== ""));
    return { ...(typeof options.fixed === "function" ? options.fixed() : options.fixed), ...values,
      ...(state.sort && { sort: state.sort }), ...(state.cursor && { cursor: state.cursor }), limit };
  }

  async function reload({ quiet = false } = {}) {
    running?.abort();
    running = new AbortController();
    const mine = running;
    if (!quiet) element.setAttribute("aria-busy", "true");
    try {
      const page = await load(params(), mine.signal);
      if (mine !== running) return;
      Object.assign(state, { rows: page.items, total: page.total ?? null, next: page.next ?? null });
      draw(page);
    } catch (error) {
      if (error.name === "AbortError") return;
      state.rows = [];
      fill(body);
      fill(pager);
      fill(status, h("span.bad", {}, error.detail || error.message), " ",
        h("button.button", { type: "button", onclick: () => reload() }, t("base.retry")));
    } finally {
      if (mine === running) element.removeAttribute("aria-busy");
    }
  }

  /** Takes other columns; nothing happens when they are the same. */
  function setColumns(chosen) {
    const same = head.childElementCount && columns.length === chosen.length && columns.every((one, index) => one.key === chosen[index].key);
    columns = chosen;
    if (same) return;
    heads.clear();
    for (const one of columns) if (one.sort) heads.set(one.sort, headButton(one));
    fill(head, columns.map((one) => h("th", { scope: "col", class: [one.numeric && "num", one.optional && "optional"].filter(Boolean).join(" ") || null },
      one.sort ? heads.get(one.sort) : one.title)));
  }

  function draw(page) {
    if (options.columnsFor) setColumns(options.columnsFor(page));
    const focused = body.contains(document.activeElement) ? body.querySelector(":focus")?.closest("tr")?.dataset.key : null;
    fill(body, state.rows.map(drawRow));
    if (focused) body.querySelector(`tr[data-key="${CSS.escape(focused)}"] a`)?.focus();
    const filtered = filters.some((one) => state.values[one.name] !== (one.value ?? ""));
    fill(status);
    if (!state.rows.length) {
      fill(status, filtered ? t("base.no_match") : options.empty ?? t("base.empty"), " ",
        filtered && h("button.button", { type: "button", onclick: clear }, t("base.clear_filters")));
    }
    if (page.note) fill(status, ...[status.childNodes.length ? [...status.childNodes] : [], h("span.muted", {}, page.note)].flat());
    drawPager();
    for (const [name, button] of heads) markHead(name, button);
    options.onDraw?.(page);
  }

  function drawRow(row, index) {
    return h("tr", { dataset: { key: rowKey(row) }, class: [index === state.selected && "selected", options.rowClass?.(row)].filter(Boolean).join(" ") || null,
      onclick: (event) => { if (!event.target.closest("a, button, input, select, summary") && !String(getSelection())) select(index); },
      ondblclick: () => open(index) },
    columns.map((one) => h("td", { class: [one.numeric && "num", one.optional && "optional", one.class].filter(Boolean).join(" ") || null,
      "data-label": one.title }, one.render ? one.render(row) : row[one.key])));
  }

  function drawPager() {
    const from = state.cursors.length * limit + 1;
    const to = from + state.rows.length - 1;
    const known = state.total === null ? t("base.rows_open", { from: number(from), to: number(to) })
      : t("base.rows", { from: number(from), to: number(to), total: number(state.total) });
    fill(pager, state.rows.length ? h("span.muted", {}, known) : null,
      (state.cursor || state.next) && [
        h("button.button", { type: "button", disabled: !state.cursor, onclick: previous }, t("base.prev")),
        h("button.button", { type: "button", disabled: !state.next, onclick: next }, t("base.next"))]);
  }

  function go(change) {
    Object.assign(state, change, { selected: -1 });
    writeAddress();
    return reload();
  }
  const restart = (change = {}) => go({ cursor: "", cursors: [], ...change });
  const next = () => state.next && go({ cursors: [...state.cursors, state.cursor], cursor: state.next });
  const previous = () => state.cursor && go({ cursor: state.cursors.at(-1) ?? "", cursors: state.cursors.slice(0, -1) });

  function clear() {
    for (const one of filters) state.values[one.name] = one.value ?? "";
    for (const input of element.querySelectorAll("[data-filter]")) input.value = state.values[input.dataset.filter];
    restart();
  }

  function select(index) {
    state.selected = Math.max(0, Math.min(index, state.rows.length - 1));
    [...body.rows].forEach((row, place) => row.classList.toggle("selected", place === state.selected));
    const row = body.rows[state.selected];
    row?.scrollIntoView({ block: "nearest" });
    row?.querySelector("a, button")?.focus({ preventScroll: true });
  }

  function open(index) {
    const row = state.rows[index];
    if (!row) return;
    if (options.onOpen) options.onOpen(row);
    else if (options.rowHref) location.assign(options.rowHref(row));
  }

  function headButton(column) {
    const turn = () => restart({ sort: state.sort === column.sort ? `-${column.sort}` : column.sort });
    return h("button.sort", { type: "button", onclick: turn }, column.title, h("span.arrow", { "aria-hidden": "true" }));
  }

  function markHead(name, button) {
    const direction = state.sort === name ? "ascending" : state.sort === `-${name}` ? "descending" : "none";
    button.closest("th").setAttribute("aria-sort", direction);
  }

  function filterField(filter) {
    const change = (value) => restart({ values: { ...state.values, [filter.name]: value } });
    const soon = debounce(250, change);
    const common = { dataset: { filter: filter.name, ...(filter.type === "search" && { search: "" }) }, name: filter.name };
    const input = filter.type === "select"
      ? h("select", { ...common, onchange: (event) => change(event.target.value) },
        filter.options.map(([value, text]) => h("option", { value, selected: value === state.values[filter.name] }, text)))
      : h("input", { ...common, type: filter.type ?? "text", placeholder: filter.placeholder, value: state.values[filter.name],
        autocomplete: "off", spellcheck: "false", maxlength: 500, oninput: (event) => soon(event.target.value) });
    return h("label.filter", { class: filter.type }, h("span", {}, filter.label), input);
  }

  setColumns(options.columns);
  fill(element,
    filters.length ? h("div.filters", { role: "search" }, filters.map(filterField)) : null,
    h("div.tablebox", { tabIndex: 0, role: "region", "aria-label": options.label ?? document.title },
      h("table", { class: options.tableClass ?? null }, options.caption && h("caption", {}, options.caption), h("thead", {}, head), body)),
    status, pager);
  if (options.keys !== false) {
    key("j", t("keys.down"), () => select(state.selected + 1));
    key("k", t("keys.up"), () => select(state.selected - 1));
    key("o", t("keys.open"), () => open(state.selected));
    key("]", t("keys.next_page"), () => next());
    key("[", t("keys.prev_page"), () => previous());
  }
  fill(status, t("base.loading"));
  reload();

  return {
    reload, params, restart,
    get rows() { return state.rows; },
    /** Draws one row anew. */
    update(row) {
      const index = state.rows.findIndex((one) => rowKey(one) === rowKey(row));
      if (index < 0) return;
      state.rows[index] = row;
      if (!body.rows[index].contains(document.activeElement)) body.rows[index].replaceWith(drawRow(row, index));
    },
  };
}

function set(search, name, value) {
  if (value) search.set(name, value);
  else search.delete(name);
}
