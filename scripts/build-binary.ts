/** @module One self-sufficient binary: dist/understudy. Workers are extra entry points (a Worker that is not listed would be
 *  looked for on the disk of the machine where it runs); nothing is read from the directory it is started in. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { $ } from "bun";

const ROOT = join(import.meta.dir, "..");
const OUT = process.argv[2] ?? join(ROOT, "dist", "understudy");
const ENTRIES = ["src/main.ts", "src/worker.ts"];

await $`${process.execPath} scripts/build-wasm.ts`.cwd(ROOT);
rmSync(OUT, { force: true });
await $`${process.execPath} build --compile --bytecode --format=esm --minify-syntax --minify-whitespace --no-compile-autoload-dotenv --no-compile-autoload-bunfig ${ENTRIES} --outfile ${OUT}`.cwd(
  ROOT,
);
process.stdout.write(`${OUT}: ${(statSync(OUT).size / 1e6).toFixed(0)} MB\n`);
