// Bundles the UI: hashed names, minified, a .gz beside each file, and `entry.txt`, which says what the page loads.
// The folder is `--out=DIR`, `dist` otherwise.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

// The first page must open fast on a phone: script and style together, compressed.
const FIRST_PAGE_BYTES_MAX = 60_000;

const out = process.argv.find((arg) => arg.startsWith("--out="))?.slice(6) ?? "dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const result = await build({
  entryPoints: { app: "src/main.tsx", style: "src/style.css", page: "src/page.css" },
  outdir: out,
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  minify: true,
  metafile: true,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  legalComments: "none",
  logLevel: "warning",
});

const entry = {};
for (const [path, file] of Object.entries(result.metafile.outputs)) {
  const name = path.split("/").at(-1);
  if (file.entryPoint === "src/main.tsx") {
    entry.script = name;
    // What the script imports at once is asked for beside it, not after it.
    const at = file.imports.find((each) => each.kind === "import-statement");
    entry.shared = at.path.split("/").at(-1);
  }
  if (file.entryPoint === "src/style.css") entry.style = name;
  if (file.entryPoint === "src/page.css") entry.page = name;
}

const sizes = {};
for (const name of readdirSync(out)) {
  const packed = gzipSync(readFileSync(join(out, name)), { level: 9 });
  writeFileSync(join(out, `${name}.gz`), packed);
  sizes[name] = packed.length;
}
const lines = Object.entries(entry).map(([kind, name]) => `${kind} ${name}\n`);
writeFileSync(join(out, "entry.txt"), lines.join(""));

const first = sizes[entry.script] + sizes[entry.shared] + sizes[entry.style];
for (const [name, size] of Object.entries(sizes)) console.log(`${String(size).padStart(7)} B gz  ${name}`);
console.log(`${String(first).padStart(7)} B gz  first page`);
if (first > FIRST_PAGE_BYTES_MAX) {
  console.error(`the first page is larger than ${FIRST_PAGE_BYTES_MAX} bytes`);
  process.exit(1);
}
