/** @module Node modules, Bun itself and the WebAssembly modules: what every command needs.
 *  Tried with npm 9 to 12: npm 12 (and --ignore-scripts anywhere) leaves node_modules/.bin/bun a stub until Bun's own
 *  install.js has run, and `pre` scripts may be skipped; so all of it is done here, whenever it is missing. */
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { BUN, ROOT, run, say } from "./root.mjs";

function changedMs(path) {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return null;
  }
}

function modulesAreCurrent() {
  const installed = changedMs(join(ROOT, "node_modules", ".package-lock.json"));
  const lock = changedMs(join(ROOT, "package-lock.json")) ?? 0;
  return installed !== null && installed >= lock;
}

/** npm wants a place for its cache even where there is no home. */
function homeless() {
  try {
    accessSync(process.env.HOME || homedir(), constants.W_OK);
    return process.env.HOME === "";
  } catch {
    return true;
  }
}

async function installModules() {
  if (modulesAreCurrent()) return;
  say("set-up: installing node modules (npm ci)");
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const env = homeless() ? { npm_config_cache: join(ROOT, ".cache", "npm") } : {};
  // Under `npm run` this is the npm that was called; else the one on the path.
  const npm = process.env.npm_execpath;
  const code =
    npm !== undefined && /npm-cli\.c?js$/.test(npm)
      ? await run(process.execPath, [npm, ...args], { env })
      : await run("npm", args, { env });
  if (code !== 0) throw new Error(`npm ci ended with ${code}: is the package registry within reach?`);
}

async function installBun() {
  if ((await run(BUN, ["--version"], { output: "ignore" })) === 0) return;
  say("set-up: completing Bun (its install script did not run)");
  await run(process.execPath, [join("node_modules", "bun", "install.js")]);
  const code = await run(BUN, ["--version"], { output: "ignore" });
  if (code !== 0)
    throw new Error(`node_modules/.bin/bun does not run (${code}); Bun needs glibc and a 64-bit CPU`);
}

/** Newest change among files that `wanted` accepts; 0 where there are none. */
function newestMs(directory, wanted) {
  let newest = 0;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    if (entry.isFile() && wanted(path)) newest = Math.max(newest, changedMs(path) ?? 0);
  }
  return newest;
}

async function buildWasm() {
  const wasm = join(ROOT, "wasm");
  const modules = readdirSync(wasm).filter(
    (name) => changedMs(join(wasm, name, "assembly", "index.ts")) !== null,
  );
  const sources = newestMs(wasm, (path) => path.endsWith(".ts") && !path.includes("/build/"));
  const built = modules.map((name) => changedMs(join(wasm, name, "build", `${name}.wasm`)) ?? 0);
  if (Math.min(...built) >= sources) return;
  say("set-up: compiling WebAssembly");
  const code = await run(BUN, ["scripts/build-wasm.ts"]);
  if (code !== 0) throw new Error(`the WebAssembly modules do not compile (${code})`);
}

export async function setUpModules() {
  await installModules();
  await installBun();
  await buildWasm();
}
