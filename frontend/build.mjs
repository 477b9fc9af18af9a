// Builds crawlkit/webui/static/vendor from the packages that package-lock.json names.
//
//   npm ci && npm run build    writes the files
//   npm run check              builds in memory and fails when the committed files differ
//
// The built files are committed: who installs crawlkit needs no Node, and pages name no other host.

import { createHash } from "node:crypto";
import { readFile, readdir, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const OUT = path.join(HERE, "..", "crawlkit", "webui", "static", "vendor");
const BUNDLES = [
  { entry: "src/codemirror.js", out: "codemirror.js" },
  { entry: "src/uplot.js", out: "uplot.js" },
  { entry: "node_modules/uplot/dist/uPlot.min.css", out: "uplot.css" },
];

async function bundle({ entry, out }) {
  const result = await build({
    absWorkingDir: HERE,
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    format: "esm",
    minify: true,
    charset: "utf8",
    target: "es2022",
    legalComments: "none", // their licences are in LICENSES.txt, whole
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  return { out, bytes: Buffer.from(result.outputFiles[0].contents), inputs: Object.keys(result.metafile.inputs) };
}

function packagesOf(bundles) {
  const names = new Set();
  for (const { inputs } of bundles) {
    for (const input of inputs) {
      const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
      if (found) names.add(found[1]);
    }
  }
  return [...names].sort();
}

async function licenceOf(name) {
  const folder = path.join(HERE, "node_modules", name);
  const about = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name}: no licence file in the package`);
  const text = (await readFile(path.join(folder, file), "utf8")).replaceAll("\r\n", "\n").trim();
  return { name, version: about.version, licence: about.license, text };
}

async function licences(names) {
  const all = await Promise.all(names.map(licenceOf));
  const head = "Third-party code in this folder, built by frontend/build.mjs from frontend/package-lock.json.\n";
  const parts = all.map((each) => `${"=".repeat(78)}\n${each.name} ${each.version} (${each.licence})\n\n${each.text}\n`);
  return Buffer.from([head, ...parts].join("\n"));
}

async function checkLock() {
  const lock = JSON.parse(await readFile(path.join(HERE, "package-lock.json"), "utf8"));
  for (const [where, { resolved, integrity, version }] of Object.entries(lock.packages)) {
    if (!where) continue;
    if (resolved && !resolved.startsWith("https://registry.npmjs.org/")) throw new Error(`${where}: is not from npm's registry`);
    if (!integrity) throw new Error(`${where}: the lock has no hash of it`);
    let installed;
    try {
      installed = JSON.parse(await readFile(path.join(HERE, where, "package.json"), "utf8")).version;
    } catch {
      continue; // esbuild's programs for other systems
    }
    if (installed !== version) throw new Error(`${where}: ${installed} is installed, the lock says ${version}; run npm ci`);
  }
}

const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function made() {
  await checkLock();
  const bundles = await Promise.all(BUNDLES.map(bundle));
  const files = new Map(bundles.map(({ out, bytes }) => [out, bytes]));
  files.set("LICENSES.txt", await licences(packagesOf(bundles)));
  return files;
}

async function write(files) {
  await mkdir(OUT, { recursive: true });
  for (const [name, bytes] of files) {
    await writeFile(path.join(OUT, name), bytes);
    console.log(`${name}  ${bytes.length.toLocaleString("en")} bytes`);
  }
}

async function check(files) {
  let stale = 0;
  for (const [name, bytes] of files) {
    const committed = await readFile(path.join(OUT, name)).catch(() => Buffer.alloc(0));
    if (hash(committed) === hash(bytes)) continue;
    stale += 1;
    console.error(`${name} is not what the lock builds; run: npm ci && npm run build`);
  }
  process.exitCode = stale ? 1 : 0;
}

const files = await made();
await (process.argv.includes("--check") ? check(files) : write(files));
