// Elements from data. Text is always text: nothing here, or anywhere in the interface, parses HTML from strings.

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "indeterminate", "open", "tabIndex", "htmlFor"]);

/**
 * An element. `props`: attributes; `class`; `dataset`; `on*` functions are listeners; null and false are left out.
 * Children: nodes, strings, numbers, arrays of them; null and false are left out.
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(props ?? {})) setProp(element, key, value);
  append(element, children);
  return element;
}

function setProp(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key === "class") element.classList.add(...String(value).split(/\s+/).filter(Boolean));
  else if (key === "dataset") Object.assign(element.dataset, value);
  else if (key === "style") Object.assign(element.style, value);
  else if (key.startsWith("on")) element.addEventListener(key.slice(2).toLowerCase(), value);
  else if (PROPERTIES.has(key)) element[key] = value;
  else if (key === "href" || key === "src") setPlace(element, key, String(value));
  else element.setAttribute(key, value === true ? "" : String(value));
}

// Places that crawled data may name: only web addresses become links.
function setPlace(element, key, value) {
  const scheme = /^[\s\u0000-\u001f]*([a-z][a-z0-9+.-]*):/i.exec(value)?.[1]?.toLowerCase();
  if (!scheme || scheme === "http" || scheme === "https" || (key === "src" && scheme === "blob")) element.setAttribute(key, value);
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** The content of a <meta name=...>. */
export const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

/** Waits until nothing was called for `ms`, then calls once. */
export function debounce(ms, call) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), ms);
  };
}
