// HTML with a line for each block and two blanks for each level: for reading only. Text in, text out; nothing is parsed
// by the browser, so nothing of a page can act, and a page made to take long takes no longer than another.

const TAG = /<[!/?a-zA-Z](?:"[^"]*"|'[^']*'|[^"'<>])*>/y;
const LONGEST_TAG = 2000; // characters; a longer one is shown as text
const RAW = new Set(["script", "style", "pre", "textarea"]);
const VOID = new Set("area base br col embed hr img input link meta source track wbr".split(" "));
const INLINE = new Set("a abbr b bdi bdo br cite code data del dfn em i img ins kbd label mark q s samp small span strong sub sup time u var wbr".split(" "));
const SHORT = 100; // characters of a block without blocks in it that stays on one line
const DEEPEST = 40; // levels that are indented

const nameOf = (token) => /^<\/?([a-zA-Z][^\s/>]*)/.exec(token)?.[1].toLowerCase() ?? "";

/** Pieces of a page: {text, name, kind}; kind is text, raw (as it stands), open or close. */
function* pieces(html) {
  const lower = html.toLowerCase();
  const missing = new Set(); // endings that do not come any more
  const after = (ending, from) => {
    const found = missing.has(ending) ? -1 : lower.indexOf(ending, from);
    if (found < 0) missing.add(ending);
    return found < 0 ? -1 : found + ending.length;
  };
  for (let at = 0; at < html.length;) {
    const begin = html.indexOf("<", at);
    if (begin !== at) {
      const end = begin < 0 ? html.length : begin;
      yield { text: html.slice(at, end), name: "", kind: "text" };
      at = end;
      continue;
    }
    const comment = html.startsWith("<!--", at) ? after("-->", at) : -1;
    TAG.lastIndex = 0;
    const tag = comment < 0 ? TAG.exec(html.slice(at, at + LONGEST_TAG))?.[0] ?? "<" : html.slice(at, comment);
    const name = comment < 0 ? nameOf(tag) : "";
    const closed = RAW.has(name) && !tag.startsWith("</") ? after(`</${name}>`, at) : -1;
    const end = closed < 0 ? at + tag.length : closed;
    const kind = comment >= 0 || closed >= 0 ? "raw" : tag === "<" ? "text" : tag.startsWith("</") ? "close" : "open";
    yield { text: html.slice(at, end), name, kind };
    at = end;
  }
}

export function indented(html) {
  const lines = [];
  let depth = 0;
  let line = "";
  const put = (text) => lines.push("  ".repeat(Math.min(depth, DEEPEST)) + text);
  const end = () => {
    if (line.trim()) put(line.trim());
    line = "";
  };
  const opensBefore = (name) => {
    const before = lines.at(-1)?.trim() ?? "";
    return line.length <= SHORT && !before.startsWith("</") && nameOf(before) === name && before.indexOf(">") === before.length - 1;
  };
  for (const { text, name, kind } of pieces(html)) {
    if (kind === "text") line += text.replace(/\s+/g, " ");
    else if (kind !== "raw" && INLINE.has(name)) line += text;
    else if (kind === "close" && opensBefore(name)) {
      depth = Math.max(depth - 1, 0);
      lines[lines.length - 1] += line.trim() + text;
      line = "";
    } else {
      end();
      if (kind === "close") depth = Math.max(depth - 1, 0);
      put(text);
      if (kind === "open" && !VOID.has(name) && !/^<[!?]|\/>$/.test(text)) depth += 1;
    }
  }
  end();
  return lines.join("\n");
}
