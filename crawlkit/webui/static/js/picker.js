// In the frame of a crawled page: shows what is under the pointer and says which numbered element was picked.
// The page around it is hostile (its scripts do not run, its elements and styles are there), so: no global names, no
// property of an element that a page could have put something else in the place of, and only numbers leave the frame.
(() => {
  "use strict";
  const script = document.currentScript;
  const channel = script.dataset.channel;
  const about = JSON.parse(script.dataset.about);
  const root = document.documentElement;
  const closest = (node) => (node instanceof Element ? Element.prototype.closest.call(node, "[data-ck]") : null);
  const attribute = (element, name) => Element.prototype.getAttribute.call(element, name);
  const getter = (type, name) => { const get = Object.getOwnPropertyDescriptor(type.prototype, name).get; return (node) => get.call(node); };
  const numberOf = (element) => Number(attribute(element, "data-ck"));
  const localName = getter(Element, "localName");
  const tagOf = (element) => attribute(element, "data-ck-tag") || localName(element);
  const say = (type, more = {}) => window.parent.postMessage({ channel, type, ...more }, "*");

  const make = (name) => root.appendChild(document.createElement(name));
  const overlay = make("ck-overlay");
  const chip = make("ck-chip");
  const voice = make("ck-say");
  overlay.hidden = chip.hidden = true;
  voice.setAttribute("role", "status");
  root.tabIndex = -1;

  let picking = false;
  let current = null;

  function describe(element) {
    const id = attribute(element, "id");
    const classes = (attribute(element, "class") || "").trim().split(/\s+/).filter(Boolean).slice(0, 3);
    return tagOf(element) + (id ? `#${id}` : "") + classes.map((name) => `.${name}`).join("");
  }

  function place() {
    if (!current) { overlay.hidden = chip.hidden = true; return; }
    const box = Element.prototype.getBoundingClientRect.call(current);
    overlay.hidden = chip.hidden = false;
    const set = (node, values) => { for (const [name, value] of Object.entries(values)) node.style.setProperty(name, `${value}px`, "important"); };
    set(overlay, { left: box.left, top: box.top, width: box.width, height: box.height });
    const above = box.top > 26 ? box.top - 24 : Math.min(box.bottom + 4, window.innerHeight - 24);
    set(chip, { left: Math.max(2, Math.min(box.left, window.innerWidth - 120)), top: Math.max(2, above) });
  }

  function look(element, aloud = false) {
    current = element;
    chip.textContent = element ? describe(element) : "";
    if (element && aloud) {
      voice.textContent = `${describe(element)} ${textOf(element).trim().slice(0, 80)}`;
      Element.prototype.scrollIntoView.call(element, { block: "nearest" });
    }
    place();
  }

  function pick(event) {
    if (current) say("pick", { number: numberOf(current), tag: tagOf(current).slice(0, 40), add: event.shiftKey, anew: event.altKey });
  }

  function setPicking(on) {
    picking = on;
    if (on) root.setAttribute("data-ck-picking", ""); else root.removeAttribute("data-ck-picking");
    if (!on) look(null);
  }

  // ---- the tree by keyboard: only what is numbered and can be seen

  const seen = (element) => Element.prototype.getClientRects.call(element).length > 0;
  const textOf = getter(Node, "textContent");
  const parentOf = getter(Node, "parentElement");
  const firstOf = getter(Element, "firstElementChild");
  const nextOf = getter(Element, "nextElementSibling");
  const previousOf = getter(Element, "previousElementSibling");
  const numbered = (element) => element && Element.prototype.hasAttribute.call(element, "data-ck") && seen(element);
  function along(element, move) {
    let node = element && move(element);
    while (node && !numbered(node)) node = move(node);
    return node;
  }
  function inside(element) {
    let node = firstOf(element);
    while (node && !numbered(node)) node = nextOf(node);
    return node;
  }
  const start = () => closest(document.elementFromPoint(window.innerWidth / 2, Math.min(120, window.innerHeight / 2))) || along(document.body, parentOf) || inside(document.body);
  const MOVES = {
    ArrowUp: (element) => along(element, parentOf),
    ArrowDown: inside,
    ArrowLeft: (element) => along(element, previousOf),
    ArrowRight: (element) => along(element, nextOf),
  };

  // ---- events, taken before anything in the page has them

  const on = (type, handle) => window.addEventListener(type, handle, { capture: true, passive: false });
  const stop = (event) => { event.preventDefault(); event.stopImmediatePropagation(); };
  on("mousemove", (event) => { if (picking) { const found = closest(event.target); if (found !== current) look(found); } });
  on("mouseleave", () => picking && look(null));
  on("scroll", place);
  on("resize", () => { // the panel below takes room: what was picked stays in sight
    const chosen = marks.find((element) => Element.prototype.hasAttribute.call(element, "data-ck-picked"));
    if (chosen) Element.prototype.scrollIntoView.call(chosen, { block: "nearest" });
    place();
  });
  on("click", (event) => {
    stop(event);
    if (!picking) return;
    look(closest(event.target));
    pick(event);
  });
  on("mousedown", (event) => { if (picking) { window.focus(); stop(event); } }); // the keys are for the page from here on
  for (const type of ["mouseup", "auxclick", "dblclick", "contextmenu", "submit", "dragstart"]) {
    on(type, (event) => { if (picking || type === "auxclick" || type === "submit") stop(event); });
  }
  on("keydown", (event) => {
    if (event.key === "Escape") { stop(event); setPicking(false); say("end"); return; }
    if (!picking || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") { stop(event); pick(event); return; }
    const move = MOVES[event.key];
    if (!move) return;
    stop(event);
    look((current ? move(current) : start()) || current, true);
  });

  // ---- what the editor's page says

  let marks = [];
  const all = () => Document.prototype.querySelectorAll.call(document, "[data-ck]");
  function show({ numbers, picked }) {
    for (const element of marks) for (const name of ["data-ck-match", "data-ck-picked"]) Element.prototype.removeAttribute.call(element, name);
    const found = new Set(numbers);
    const chosen = new Set(picked);
    marks = [];
    for (const element of all()) {
      const number = numberOf(element);
      const is = chosen.has(number) ? "data-ck-picked" : found.has(number) ? "data-ck-match" : "";
      if (is) { Element.prototype.setAttribute.call(element, is, ""); marks.push(element); }
    }
  }
  function goTo(number) {
    for (const element of all()) {
      if (numberOf(element) === number) { Element.prototype.scrollIntoView.call(element, { block: "center" }); return; }
    }
  }
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.data?.channel !== channel) return;
    const { type } = event.data;
    if (type === "picking") { setPicking(Boolean(event.data.on)); if (event.data.on && event.data.focus) { window.focus(); if (!current) look(start(), true); } }
    else if (type === "show") show(event.data);
    else if (type === "go") goTo(event.data.number);
    else if (type === "look") { const element = [...all()].find((one) => numberOf(one) === event.data.number); look(element || null); }
  });
  say("ready", about);
})();
