// The page as it was fetched, in a frame that can do nothing, and the selector helper below it.
// The frame says numbers of elements; what they are, and which selector finds them, the server says.
import { debounce, fill, h } from "./dom.js";
import { Problem, post, url } from "./api.js";
import { number as formatted, t } from "./i18n.js";
import { toast } from "./toast.js";

const AS_WRITTEN = "";
const READY_WITHIN = 1500; // ms from the frame's load to its first word

/**
 * Fills `box`. `page`: id of a fetched page; `insert(text)`: writes at the cursor of the script.
 * Returns {dispose(), pick()}.
 */
export function mountSelectorPanel(box, { project, page, insert }) {
  const view = new Panel(box, project, page, insert);
  return { dispose: () => view.dispose(), pick: () => view.setPicking(true, true) };
}

class Panel {
  constructor(box, project, page, insert) {
    this.project = project;
    this.page = page;
    this.insert = insert;
    this.picked = [];
    this.tag = "";
    this.mode = "css";
    this.found = null; // what the server said last
    this.picking = false;
    this.asking = null;
    this.onMessage = (event) => this.hear(event);
    window.addEventListener("message", this.onMessage);
    this.build(box);
    this.load();
  }

  dispose() {
    window.removeEventListener("message", this.onMessage);
    this.asking?.abort();
    clearTimeout(this.waiting);
  }

  // ---- what is on the screen

  build(box) {
    this.pickButton = h("button.button.small", { type: "button", "aria-pressed": "false", title: t("selector.pick_title"),
      onclick: () => this.setPicking(!this.picking, true) }, t("selector.pick"));
    this.hint = h("span.selector-hint", { role: "status" });
    this.loads = h("input", { type: "checkbox", onchange: () => this.load() });
    this.notes = h("p.selector-notes", { hidden: true });
    this.frame = h("iframe.selector-frame", { title: t("selector.frame"), sandbox: "allow-scripts", onload: () => this.loaded() });
    this.results = h("section.selector-found", { hidden: true, "aria-label": t("selector.found") });
    this.buildResults();
    box.classList.add("selector");
    fill(box,
      h("div.selector-bar", {}, this.pickButton, this.hint,
        h("label.selector-loads", { title: t("selector.loads_title") }, this.loads, t("selector.loads"))),
      this.notes, this.frame, this.results);
    this.setPicking(false);
  }

  buildResults() {
    this.modes = ["css", "xpath"].map((mode) => h("button", { type: "button", "aria-pressed": String(mode === this.mode), dataset: { mode },
      onclick: () => this.setMode(mode) }, mode === "css" ? "CSS" : "XPath"));
    this.query = h("input.mono", { type: "text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", maxlength: 2000,
      "aria-label": t("selector.query"), oninput: debounce(180, () => this.typed()), onkeydown: (event) => {
        if (event.key === "Enter") { event.preventDefault(); this.use(); }
        if (event.key === "Escape") { event.preventDefault(); this.startOver(); }
      } });
    this.count = h("output.selector-count", { "aria-live": "polite" });
    this.problem = h("p.selector-problem.bad", { role: "alert", hidden: true });
    this.ending = h("select", { "aria-label": t("selector.take"), onchange: () => this.retake() });
    this.code = h("code.selector-code");
    this.useButton = h("button.button.primary.small", { type: "button", onclick: () => this.use() }, t("selector.insert"));
    this.copyButton = h("button.button.small", { type: "button", onclick: () => this.copy() }, t("selector.copy"));
    this.path = h("div.selector-path", { role: "group", "aria-label": t("selector.path") });
    this.values = h("ol.selector-values", { "aria-label": t("selector.values"), tabIndex: 0 });
    this.others = h("div.selector-others");
    fill(this.results,
      h("div.selector-query", {}, h("div.selector-modes", { role: "group", "aria-label": t("selector.language") }, this.modes), this.query, this.count),
      this.problem,
      h("div.selector-take", {}, h("label", {}, t("selector.take"), " ", this.ending), this.code,
        h("span.selector-buttons", {}, this.useButton, this.copyButton,
          h("button.button.small", { type: "button", title: "Esc", onclick: () => this.startOver() }, t("selector.start_over")))),
      this.path, this.values, this.others);
  }

  // ---- the frame

  load() {
    this.channel = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const load = this.loads.checked ? "&load=1" : "";
    this.ready = false;
    this.address = url(`/projects/${encodeURIComponent(this.project)}/pages/${encodeURIComponent(this.page)}/preview?channel=${this.channel}${load}`);
    this.frame.src = this.address;
  }

  loaded() {
    clearTimeout(this.waiting);
    if (!this.ready && this.address) this.waiting = setTimeout(() => this.ready || this.complain(), READY_WITHIN);
  }

  async complain() {
    const answer = await fetch(this.address, { headers: { Accept: "application/json" } }).catch(() => null);
    const said = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    this.note([said.detail || t("selector.no_frame")]);
  }

  note(notes) {
    this.notes.hidden = notes.length === 0;
    this.notes.textContent = notes.join(" ");
  }

  tell(type, more = {}) {
    this.frame.contentWindow?.postMessage({ channel: this.channel, type, ...more }, "*"); // its origin is opaque: no other name for it
  }

  hear(event) {
    const said = event.data;
    if (event.source !== this.frame.contentWindow || said?.channel !== this.channel) return;
    if (said.type === "ready") this.frameReady(said);
    else if (said.type === "end") { this.setPicking(false); this.pickButton.focus(); }
    else if (said.type === "pick" && Number.isInteger(said.number)) this.pick(said);
  }

  frameReady(said) {
    this.ready = true;
    this.note(Array.isArray(said.notes) ? said.notes.map(String) : []);
    this.pickButton.disabled = !(said.elements > 0);
    this.setPicking(this.picking && said.elements > 0);
    this.show();
  }

  setPicking(on, focus = false) {
    this.picking = on;
    this.pickButton.setAttribute("aria-pressed", String(on));
    if (on && focus) this.frame.focus();
    this.tell("picking", { on, focus });
    this.hint.textContent = on ? t(this.picked.length ? "selector.hint_more" : "selector.hint") : "";
  }

  show() {
    this.tell("show", { numbers: this.found?.numbers ?? [], picked: this.picked });
  }

  // ---- picking

  pick({ number, tag, add, anew }) {
    const similar = this.picked.length > 0 && String(tag) === this.tag;
    if (this.picked.includes(number) && this.picked.length > 1) this.picked = this.picked.filter((each) => each !== number);
    else if (!this.picked.includes(number)) this.picked = (similar || add) && !anew && this.picked.length < 20 ? [...this.picked, number] : [number];
    this.tag = String(tag);
    this.propose(this.picked.length > 1 ? this.ending.value : null);
  }

  async propose(ending) {
    const found = await this.ask("propose", { picked: this.picked, ending: ending || null });
    if (!found) return;
    if (found.css === null) this.mode = "xpath";
    fill(this.ending, [...found.endings, { name: AS_WRITTEN }].map(({ name }) =>
      h("option", { value: name, selected: name === (ending || found.endings[0]?.name) }, endingText(name))));
    this.accept(found);
    this.showPath(found.path);
    this.showOthers(found.alternatives);
    this.hint.textContent = this.picking ? t("selector.hint_more") : "";
    this.query.scrollIntoView({ block: "nearest" }); // on a phone it begins below the fold
  }

  async ask(what, body) {
    this.asking?.abort();
    const asking = this.asking = new AbortController();
    try {
      const said = await post(`/projects/${this.project}/selector/${what}`, { page: this.page, ...body }, { signal: asking.signal });
      if (!said.problem) return said;
      this.fail(said.problem);
    } catch (error) {
      if (error.name === "AbortError") return null;
      if (!(error instanceof Problem)) throw error;
      this.fail(error.detail || error.title);
    }
    return null;
  }

  fail(text) {
    this.results.hidden = false;
    this.problem.hidden = false;
    this.problem.textContent = text;
    this.count.textContent = "";
    this.useButton.disabled = this.copyButton.disabled = true;
    this.query.setAttribute("aria-invalid", "true");
    this.found = null;
    this.show();
  }

  /** Shows what a selector finds. `keep`: the text in the field is the user's own. */
  accept(found, keep = false) {
    this.found = { ...this.found, ...found };
    this.results.hidden = false;
    this.problem.hidden = true;
    this.query.removeAttribute("aria-invalid");
    for (const button of this.modes) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === this.mode));
      button.disabled = this.found[button.dataset.mode] === null;
    }
    if (!keep) this.query.value = this.found[this.mode] ?? "";
    this.count.textContent = t(found.count === 1 ? "selector.one" : "selector.many", { count: formatted(found.count) });
    if (found.trust) this.count.append(h("span.badge", { class: BADGES[found.trust], title: t(`selector.trust_${found.trust}_title`) }, t(`selector.trust_${found.trust}`)));
    this.code.textContent = this.text();
    this.useButton.disabled = this.copyButton.disabled = !this.text();
    fill(this.values, found.values.map((value) => h("li", {}, value.trim() ? h("span.selector-value", {}, value) : h("span.muted", {}, t("selector.blank")))));
    if (found.value_count > found.values.length) this.values.append(h("li.muted.more", {}, t("selector.more", { count: formatted(found.value_count - found.values.length) })));
    if (found.count > 0 && found.value_count === 0) this.values.append(h("li.muted.more", {}, t("selector.no_values")));
    this.show();
  }

  text() {
    return this.found?.[`insert_${this.mode}`] ?? "";
  }

  // ---- the selector by hand

  setMode(mode) {
    if (this.found?.[mode] === null || this.found?.[mode] === undefined) return;
    this.mode = mode;
    this.accept(this.found);
  }

  typed() {
    const text = this.query.value.trim();
    if (/::|text\(\)|\/@/.test(text)) this.ending.value = AS_WRITTEN;
    this.evaluate(text, true);
  }

  retake() {
    this.evaluate(this.query.value.trim(), false);
  }

  async evaluate(text, keep) {
    if (!text) return;
    const asked = await this.ask("evaluate", { [this.mode]: text, ending: this.ending.value || null });
    if (!asked) return;
    const other = this.mode === "css" ? "xpath" : "css";
    const same = this.found?.[this.mode] === text ? this.found[other] : undefined;
    this.accept({ ...asked, [other]: same ?? null, [`insert_${other}`]: null, trust: null }, keep);
    if (same) this.fillIn(other, same);
  }

  // the other language of a selector that only got another ending
  async fillIn(mode, text) {
    const asked = await this.ask("evaluate", { [mode]: text, ending: this.ending.value || null });
    if (asked && this.found) this.found = { ...this.found, [mode]: text, [`insert_${mode}`]: asked[`insert_${mode}`] };
  }

  showPath(path) {
    fill(this.path, path.map((element, place) => [
      place > 0 && h("span.muted", { "aria-hidden": "true" }, "›"),
      h("span.selector-step", { onmouseenter: () => this.tell("look", { number: element.number }), onmouseleave: () => this.tell("look", { number: -1 }) },
        [["tag", element.tag], ...(element.id ? [["id", element.id]] : []), ...element.classes.map((name) => ["class", name]),
          ...element.attributes.map(([name, value]) => ["attr", name, value])].map((feature) => this.toggle(feature, element.used))),
    ]));
    requestAnimationFrame(() => { this.path.scrollLeft = this.path.scrollWidth; });
  }

  toggle(feature, used) {
    const on = used.some((each) => each.length === feature.length && each.every((part, at) => part === feature[at]));
    const button = h("button", { type: "button", "aria-pressed": String(on), class: feature[0], onclick: () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      this.compose();
    } }, featureText(feature));
    button.feature = feature;
    return button;
  }

  async compose() {
    const features = [...this.path.querySelectorAll(".selector-step")].map((step) =>
      [...step.querySelectorAll('button[aria-pressed="true"]')].map((button) => button.feature)).filter((step) => step.length);
    if (!features.length) { this.count.textContent = t("selector.nothing_chosen"); return; }
    const found = await this.ask("evaluate", { features, ending: this.ending.value || null });
    if (!found) return;
    if (found.css === null) this.mode = "xpath";
    this.accept({ ...found, trust: null });
  }

  showOthers(others) {
    fill(this.others, others.length > 0 && [h("h3", {}, t("selector.others")), h("ul", {}, others.map((other) =>
      h("li", {}, h("button.link.mono", { type: "button", onclick: () => this.take(other) }, other.css ?? other.xpath),
        h("span.muted.num", {}, ` ${t(other.count === 1 ? "selector.one" : "selector.many", { count: formatted(other.count) })}`),
        !other.exact && h("span.badge.info", {}, t("selector.wider")))))]);
  }

  async take(other) {
    this.mode = other.css === null ? "xpath" : this.mode;
    const text = other[this.mode];
    const asked = await this.ask("evaluate", { [this.mode]: text, ending: this.ending.value || null });
    if (!asked) return;
    this.accept({ ...asked, css: other.css, xpath: other.xpath, insert_css: null, insert_xpath: null, [`insert_${this.mode}`]: asked[`insert_${this.mode}`], trust: other.trust });
    const second = this.mode === "css" ? "xpath" : "css";
    if (other[second] !== null) await this.fillIn(second, other[second]);
  }

  use() {
    if (this.useButton.disabled) return;
    this.setPicking(false);
    this.insert(this.text());
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.text());
      toast(t("selector.copied"), { kind: "good" });
    } catch {
      this.query.select();
      toast(t("selector.not_copied"));
    }
  }

  startOver() {
    this.picked = [];
    this.tag = "";
    this.found = null;
    this.results.hidden = true;
    this.show();
    this.hint.textContent = this.picking ? t("selector.hint") : "";
    this.pickButton.focus();
  }
}

const BADGES = { good: "good", fair: "info", fragile: "warn" };

function endingText(name) {
  if (name === AS_WRITTEN) return t("selector.as_written");
  return name.startsWith("@") ? t("selector.attribute", { name: name.slice(1) }) : t(`selector.${name.replace("-", "_")}`);
}

function featureText([kind, name, value]) {
  if (kind === "tag") return name.replace(/^\{.*\}/, "");
  if (kind === "id") return `#${name}`;
  if (kind === "class") return `.${name}`;
  return value === undefined ? `[${name}]` : `[${name}="${value.length > 24 ? `${value.slice(0, 24)}…` : value}"]`;
}
