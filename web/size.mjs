// Compresses what was built, and refuses a first load or a chunk that is too large.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const ROOT = new URL("../streamflow/web/", import.meta.url);
const FIRST_LOAD = 200_000; // bytes, compressed: every page's shell and its own chunks
const CHUNK = 150_000; // the largest that is loaded later, such as the editor
const TEXT = /\.(js|css|svg)$/;

const sizes = new Map();
for (const name of readdirSync(new URL("assets/", ROOT))) {
  if (!TEXT.test(name)) continue;
  const packed = gzipSync(readFileSync(new URL(`assets/${name}`, ROOT)), { level: 9 });
  writeFileSync(new URL(`assets/${name}.gz`, ROOT), packed);
  sizes.set(`assets/${name}`, packed.length);
}

const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", ROOT), "utf8"));
function files(entry, seen = new Set()) {
  const chunk = manifest[entry];
  if (!chunk || seen.has(entry)) return new Set();
  seen.add(entry);
  const found = new Set([chunk.file, ...(chunk.css ?? [])]);
  for (const other of chunk.imports ?? []) for (const file of files(other, seen)) found.add(file);
  return found;
}
const bytes = (names) => [...names].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);

const shell = files("index.html");
let failed = false;
const pages = Object.keys(manifest).filter((key) => /Page\.tsx$/.test(key));
for (const page of pages) {
  const size = bytes(new Set([...shell, ...files(page)]));
  const tooLarge = size > FIRST_LOAD;
  failed ||= tooLarge;
  console.log(`${page.padEnd(44)} ${(size / 1000).toFixed(1).padStart(7)} kB${tooLarge ? "  too large" : ""}`);
}
console.log(`${"shell".padEnd(44)} ${(bytes(shell) / 1000).toFixed(1).padStart(7)} kB`);
for (const [name, size] of sizes) {
  if (size > CHUNK) {
    failed = true;
    console.log(`${name} ${(size / 1000).toFixed(1)} kB  too large`);
  }
}
if (failed) {
  console.error(
    `A page loads more than ${FIRST_LOAD / 1000} kB, or a chunk has more than ${CHUNK / 1000} kB. Load parts of it later.`,
  );
  process.exit(1);
}
