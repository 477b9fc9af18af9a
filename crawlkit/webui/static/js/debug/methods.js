// Where a further method goes in a script, by the script's own structure. Text in, a place out; nothing is shown here.
import * as cm from "../../vendor/codemirror.js";

/** {from, text}: what to insert where; {line}: a method of that name is there already; null: no class to put it into.
 *  `callback`: the class that has it is taken, else Handler, else the last. `method`: its lines, not indented. */
export function placeOf(script, method, callback) {
  const text = (node) => script.slice(node.from, node.to);
  const classes = [];
  for (let node = cm.pythonLanguage.parser.parse(script).topNode.firstChild; node; node = node.nextSibling) {
    const found = node.name === "ClassDefinition" ? node : node.name === "DecoratedStatement" ? node.getChild("ClassDefinition") : null;
    const body = found?.getChild("Body");
    const first = body?.firstChild?.nextSibling; // behind the colon
    if (!first || script.slice(body.from, first.from).indexOf("\n") < 0) continue;
    const methods = new Map();
    for (let inner = first; inner; inner = inner.nextSibling) {
      const def = inner.name === "FunctionDefinition" ? inner : inner.name === "DecoratedStatement" ? inner.getChild("FunctionDefinition") : null;
      const name = def?.getChild("VariableName");
      if (name) methods.set(text(name), def.from);
    }
    const name = found.getChild("VariableName");
    classes.push({ name: name && text(name), methods, last: body.lastChild, indent: script.slice(script.lastIndexOf("\n", first.from - 1) + 1, first.from) });
  }
  const chosen = classes.findLast((one) => one.methods.has(callback)) ?? classes.findLast((one) => one.name === "Handler") ?? classes.at(-1);
  if (!chosen || /\S/.test(chosen.indent)) return null;
  const name = /^def (\w+)/.exec(method[0])?.[1];
  if (chosen.methods.has(name)) return { line: script.slice(0, chosen.methods.get(name)).split("\n").length };
  const end = chosen.last.from + text(chosen.last).trimEnd().length;
  const from = script.indexOf("\n", end) < 0 ? script.length : script.indexOf("\n", end); // behind a comment on its line
  return { from, text: `\n\n${method.map((line) => line && chosen.indent + line).join("\n")}` };
}
