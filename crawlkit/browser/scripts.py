"""Texts of JavaScript: what a script of a task is wrapped in, so that its value comes back bounded and JSON-able.

Pure. A script is pyspider's ``function() {...}``, an arrow function, an expression, or statements with a ``return``.
"""

from __future__ import annotations

#: The headless shell blocks no pop-ups: a page may open a few windows, which are closed, and gets null for the rest.
FEW_WINDOWS = """(() => {
  const open = window.open;
  let left = 3;
  window.open = function (...said) { return left-- > 0 ? open.apply(this, said) : null; };
})()"""

#: Calls what the script is or makes of it, waits for a promise, and makes the value plain: dates are ISO 8601, elements
#: their markup, NaN, functions and what refers to itself null. Nothing larger than ``most`` characters leaves the page.
_RUN = """async (run, most) => {
  let left = most;
  const open = [];
  const walk = (v) => {
    if (typeof v === "string") { left -= v.length + 2; if (left < 0) throw open; return v; }
    if (typeof v === "number") { left -= 8; return v - v === 0 ? v : null; }
    if (typeof v === "boolean") { left -= 5; return v; }
    if (typeof v === "bigint") return walk(`${v}`);
    if (typeof v !== "object" || v === null || open.length > 60) { left -= 4; return null; }
    for (let i = 0; i < open.length; i++) if (open[i] === v) return null;
    if (v instanceof Date) return isNaN(v) ? null : walk(v.toISOString());
    if (v instanceof Node) return walk(v.outerHTML === undefined ? `${v.textContent}` : `${v.outerHTML}`);
    if (v instanceof Error) return walk(`${v}`);
    open[open.length] = v;
    let made;
    if (v instanceof Map || v instanceof Set || Array.isArray(v) || ArrayBuffer.isView(v)
        || v instanceof NodeList || v instanceof HTMLCollection) {
      made = [];
      for (const each of v) { left -= 1; if (left < 0) throw open; made[made.length] = walk(each); }
    } else {
      made = {};
      for (const key of Object.keys(v)) {
        let each = null;
        try { each = v[key]; } catch { each = null; }
        if (typeof each === "function" || each === undefined) continue;
        left -= key.length + 4;
        if (left < 0) throw open;
        made[key] = walk(each);
      }
    }
    open.length -= 1;
    return made;
  };
  let value = run();
  if (typeof value === "function") value = value.call(window);
  value = await value;
  try { return {value: walk(value)}; } catch (error) { if (error === open) return {over: true}; throw error; }
}"""
_IS_TRUE = """async (run) => {
  let value = run();
  if (typeof value === "function") value = value.call(window);
  return Boolean(await value);
}"""


def forms(script: str) -> tuple[str, str]:
    """The script as a function that runs it: as an expression, and as statements. The first that compiles is meant."""
    script = script.strip().rstrip(";").rstrip()
    return f"() => (\n{script}\n)", f"async () => {{\n{script}\n}}"


def value_of(form: str, most: int) -> str:
    """An expression: a promise of ``{value: ...}``, or of ``{over: true}``."""
    return f"({_RUN})({form}, {most})"


def truth_of(form: str) -> str:
    """An expression: a promise of true or false."""
    return f"({_IS_TRUE})({form})"


def at_start(form: str, most: int, binding: str) -> str:
    """For a document that is about to be made; tells JSON to ``binding``, which the page never sees."""
    return f"""{{
  const tell = globalThis["{binding}"], write = JSON.stringify;
  delete globalThis["{binding}"];
  if (tell && window === window.top) {value_of(form, most)}.then(
    (made) => tell(write(made)), (error) => tell(write({{error: `${{error}}`.slice(0, 1000)}})));
}}"""


#: Whether what the page shows after its load event can still change by itself.
IS_STILL = """!document.scripts.length
  && !document.querySelector("[onload],[onerror],iframe,object,embed,meta[http-equiv=refresh i]")"""

#: Seen from a world of its own, whose built-ins no page can change.
SIZE_OF_SCROLL = "Math.max(document.documentElement.scrollHeight, document.body ? document.body.scrollHeight : 0)"

#: Down by the height of the window, and drawn there, so that what waits to be seen is: [whether it moved, lower edge].
STEP_DOWN = """new Promise((done) => {
  const from = window.scrollY;
  window.scrollTo({top: from + window.innerHeight, behavior: "instant"});
  const told = () => done([window.scrollY > from, window.scrollY + window.innerHeight]);
  setTimeout(told, 1000);
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(told, 100)));
})"""


def content(most: int) -> str:
    """The page as it stands; only its size when that is over ``most`` UTF-16 units."""
    return f"""(() => {{
  const kind = document.doctype;
  const root = document.documentElement;
  const walk = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  let size = 0;  // a look before the leap: the markup of a huge page is not even made
  while (walk.nextNode()) if ((size += walk.currentNode.data.length) > {most}) return {{size}};
  let text = root ? root.outerHTML : "";
  if (kind) text = new XMLSerializer().serializeToString(kind) + text;
  return text.length > {most} ? {{size: text.length}} : {{text, url: document.URL}};
}})()"""
