/** @module Makes a fresh clone ready: node modules, Bun, WebAssembly; with --tests what the tests need as well.
 *  Needs Node 20 and npm (9 to 12), nothing else, in any directory. Quick where nothing is to be done. */
import { pathToFileURL } from "node:url";
import { setUpDebian } from "./house/debian.mjs";
import { setUpModules } from "./house/modules.mjs";
import { say } from "./house/root.mjs";

/** @param {{ tests: boolean }} options */
export async function setUp({ tests }) {
  if (process.platform !== "linux") throw new Error(`understudy runs on Linux; this is ${process.platform}`);
  await setUpModules();
  if (tests) await setUpDebian();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    await setUp({ tests: process.argv.includes("--tests") });
  } catch (error) {
    say(`set-up: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
