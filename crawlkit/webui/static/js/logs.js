// The logs: searched page by page into the past, and followed by number as they come, newest on top.
import { $, debounce, fill, h } from "./dom.js";
import { get } from "./api.js";
import { key } from "./keys.js";
import { live } from "./live.js";
import { fullTime, logLine } from "./log_line.js";
import { number, t } from "./i18n.js";

const PAGE = 200;
const NEW = 500; // lines fetched at once while following
const ROUNDS = 8; // such fetches until the page gives up and starts anew from the end
const MOST = 3000; // lines on the page
const FURTHER = 20; // looks that are made by themselves while nothing is found
const TOP = 160; // pixels from the top within which the page follows

const FILTERS = ["text", "project", "level", "role", "node", "task", "since", "until"];
const search = new URLSearchParams(location.search);
const values = Object.fromEntries(FILTERS.map((name) => [name, search.get(name) ?? ""]));
const list = h("ol.loglines", { "aria-label": t("logs.lines") });
const status = h("p.tablestatus", { role: "status" });
const older = h("button.button", { type: "button", hidden: true, onclick: () => more() }, t("logs.older"));
const newest = h("button.button.newest", { type: "button", hidden: true, onclick: () => scrollTo({ top: 0 }) }, `↑ ${t("logs.newest")}`);
const state = { after: 0, last: 0, next: null, following: true, busy: false, query: null, offline: false };

const instant = (local) => (local ? new Date(local).getTime() / 1000 : undefined);
const wanted = () => ({ ...values, since: instant(values.since), until: instant(values.until) });
const isLive = () => state.following && !values.until;
const atTop = () => scrollY < TOP;

// -- searching ---------------------------------------------------------------------------------------------------------

async function start() {
  const mine = begin();
  fill(list);
  $("#logs").setAttribute("aria-busy", "true");
  await into(mine, async () => {
    const page = await get("/logs", { ...wanted(), limit: PAGE }, mine.signal);
    state.after = page.last;
    await show(page, mine);
  });
}

async function more() {
  if (state.next === null || state.busy) return;
  const mine = begin();
  await into(mine, async () => show(await get("/logs", { ...wanted(), limit: PAGE, cursor: state.next }, mine.signal), mine));
}

function begin() {
  state.query?.abort();
  state.query = new AbortController();
  state.busy = true;
  return state.query;
}

async function into(mine, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    fill(status, h("span.bad", {}, error.detail || error.message), " ", h("button.button", { type: "button", onclick: start }, t("base.retry")));
  } finally {
    if (mine === state.query) {
      state.busy = false;
      $("#logs").removeAttribute("aria-busy");
    }
  }
}

/** Adds a page of older lines; goes on by itself while nothing was found and not everything was looked at. */
async function show(page, mine, rounds = 0) {
  list.append(...page.items.map((line) => logLine(line, only)));
  state.next = page.next;
  tellEnd(page);
  if (!page.items.length && page.next !== null && page.looked !== null && rounds < FURTHER) {
    await show(await get("/logs", { ...wanted(), limit: PAGE, cursor: page.next }, mine.signal), mine, rounds + 1);
  }
}

function tellEnd(page) {
  older.hidden = page.next === null;
  older.textContent = t(page.looked === null ? "logs.older" : "logs.further");
  if (page.looked !== null) fill(status, t("logs.looked", { time: fullTime(page.looked) }));
  else if (!list.children.length) {
    const filtered = Object.values(values).some(Boolean);
    fill(status, t(filtered ? "logs.no_match" : "logs.none"), " ", filtered && h("button.button", { type: "button", onclick: clear }, t("base.clear_filters")));
  } else fill(status, page.next === null ? t("logs.all") : "");
}

// -- following ---------------------------------------------------------------------------------------------------------

async function follow() {
  if (!isLive() || state.busy || state.last <= state.after || !atTop()) return tellLive();
  const mine = begin();
  await into(mine, async () => {
    for (let round = 0; state.after < state.last; round += 1) {
      if (round === ROUNDS) return skip(mine);
      const page = await get("/logs", { ...wanted(), after: state.after, limit: NEW }, mine.signal);
      state.after = Number(page.next);
      state.last = Math.max(state.last, page.last);
      if (page.items.length) prepend(page.items);
    }
  });
  tellLive();
  if (state.last > state.after && isLive() && atTop()) setTimeout(follow, 200);
}

async function skip(mine) {
  const page = await get("/logs", { ...wanted(), limit: PAGE }, mine.signal);
  state.after = page.last;
  fill(list, h("li.lognote", {}, t("logs.skipped")));
  list.prepend(...page.items.map((line) => logLine(line, only)));
  state.next = page.items.length ? String(page.items.at(-1).n) : page.next;
  older.hidden = false;
}

function prepend(items) {
  if (!list.children.length) fill(status);
  list.prepend(...items.map((line) => logLine(line, only)).reverse());
  if (list.children.length <= MOST) return;
  while (list.children.length > MOST) list.lastElementChild.remove();
  state.next = [...list.children].at(-1).dataset.n ?? state.next;
  older.hidden = false;
  fill(status, t("logs.trimmed"));
}

function tellLive() {
  const button = $("#follow");
  const waiting = state.last > state.after ? number(state.last - state.after) : "";
  button.setAttribute("aria-pressed", String(state.following));
  button.textContent = t(state.following ? "logs.pause" : "logs.resume");
  button.disabled = Boolean(values.until);
  const word = values.until ? t("logs.still") : state.offline ? t("logs.offline") : isLive() && atTop() ? t("logs.live") : t("logs.paused");
  const held = !values.until && waiting && !(isLive() && atTop()) ? ` · ${t("logs.waiting", { n: waiting })}` : "";
  fill($("#lograte"), h("span.dot", { class: isLive() && atTop() && !state.offline ? "good pulse" : "off" }), word, held);
  newest.hidden = atTop();
}

function toggleFollow() {
  state.following = !state.following;
  tellLive();
  follow();
}

// -- filters -----------------------------------------------------------------------------------------------------------

function field(name, label, input, ...classes) {
  return h("label.filter", { class: classes.filter(Boolean).join(" ") || null }, h("span", {}, label), input);
}

function changed(name, value) {
  values[name] = value.trim();
  const said = new URLSearchParams(Object.entries(values).filter(([, one]) => one)).toString();
  history.replaceState(null, "", location.pathname + (said ? `?${said}` : ""));
  tellLive();
  start();
}

function only(name, value) {
  $(`[name="${name}"]`).value = value;
  changed(name, value);
  scrollTo({ top: 0 });
}

function clear() {
  for (const name of FILTERS) {
    values[name] = "";
    $(`[name="${name}"]`).value = "";
  }
  changed("text", "");
}

function text(name, label, { type = "text", first = false, ...more } = {}) {
  const soon = debounce(250, (value) => changed(name, value));
  return field(name, label, h("input", { type, name, value: values[name], autocomplete: "off", spellcheck: "false", maxlength: 200,
    ...more, oninput: (event) => soon(event.target.value) }), type, first && "first");
}

function select(name, label, options, ...classes) {
  return field(name, label, h("select", { name, onchange: (event) => changed(name, event.target.value) },
    options.map(([value, shown]) => h("option", { value, selected: value === values[name] }, shown))), ...classes);
}

function allFilters(event) {
  const all = $("#logfilters").classList.toggle("all");
  event.target.setAttribute("aria-expanded", String(all));
}

async function drawFilters() {
  const there = await get("/logs/nodes").catch(() => ({ nodes: [] }));
  const roles = [...new Set([...there.nodes.map((one) => one.role), values.role])].filter(Boolean).sort();
  const nodes = [...new Set([...there.nodes.map((one) => one.node), values.node])].filter(Boolean).sort();
  const any = ["", t("logs.any")];
  fill($("#logfilters"), text("text", t("logs.search"), { type: "search", dataset: { search: "" } }), text("project", t("logs.project"), { first: true }),
    select("level", t("logs.level"), [any, ...["info", "warning", "error"].map((level) => [level, t(`logs.${level}`)])], "first"),
    select("role", t("logs.role"), [any, ...roles.map((role) => [role, role])]),
    select("node", t("logs.node"), [any, ...nodes.map((node) => [node, node])]),
    text("task", t("logs.task")), text("since", t("logs.since"), { type: "datetime-local", step: 1 }), text("until", t("logs.until"), { type: "datetime-local", step: 1 }),
    h("button.button.morefilters", { type: "button", "aria-expanded": "false", onclick: allFilters }, t("logs.more_filters")));
}

// -- the page ----------------------------------------------------------------------------------------------------------

fill($("#logs"), list, status, h("div.pager", {}, older), newest);
$("#logfilters").addEventListener("submit", (event) => event.preventDefault());
$("#follow").addEventListener("click", toggleFollow);
key("f", t("logs.follow_key"), toggleFollow);
addEventListener("scroll", debounce(80, () => { tellLive(); follow(); }), { passive: true });
new IntersectionObserver((seen) => { if (seen[0].isIntersecting && !older.hidden && list.children.length) more(); }, { rootMargin: "400px" }).observe(older);

tellLive();
await drawFilters();
await start();
live("logs", {}, (now) => {
  state.offline = false;
  state.last = now.get("last") ?? 0;
  follow();
}, (problem) => {
  if (state.offline === Boolean(problem)) return;
  state.offline = Boolean(problem);
  tellLive();
});
