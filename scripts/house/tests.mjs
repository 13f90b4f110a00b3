/** @module All that `bun run ok` checks, then every test: the unit tests beside the code at once, those under test/ and
 *  bench/ one file after the other (they start servers, guests and benches on few cores). The last line reads
 *  `N passed, N failed, N skipped`; where CI is set a skipped test is a failure too. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setUp } from "../setup.mjs";
import { testCases } from "./junit.mjs";
import { BUN, ROOT, run, say } from "./root.mjs";

const FLOORS = "test/floors.test.ts";
const SUMMARY = join(ROOT, ".cache", "test", "summary.txt");
const UNIT_TIMEOUT_MS = 10 * 60_000;
const FILE_TIMEOUT_MS = 15 * 60_000;
const CHECKS = ["format:check", "lint", "types"];

function slowFiles() {
  // The benches' tiny sizes run too, so that no bench rots.
  return ["test", "bench"]
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((path) =>
        join(folder, path),
      ),
    )
    .filter((path) => path.endsWith(".test.ts"))
    .filter((path) => path !== FLOORS)
    .sort();
}

/** What `--only` words choose; none: everything. */
function plan(words) {
  const files = slowFiles();
  if (words.length === 0) return { unit: ["./src", "./wasm", `./${FLOORS}`], slow: files, checks: CHECKS };
  const parts = words.filter((word) => word !== "unit" && word !== "slow");
  const all = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => `./src/${path}`);
  const hit = (path) => parts.some((part) => path.includes(part));
  const unit = words.includes("unit") ? ["./src", "./wasm", `./${FLOORS}`] : all.filter(hit);
  const slow = words.includes("slow") ? files : files.filter(hit);
  return { unit, slow, checks: words.includes("unit") ? CHECKS : [] };
}

function words(args) {
  const chosen = [];
  for (let index = 0; index < args.length; index++) {
    const argument = args[index];
    if (argument === "--only") continue;
    if (argument.startsWith("--only=")) chosen.push(argument.slice(7));
    else if (argument.startsWith("-"))
      throw new Error(`${argument}: unknown; expected --only unit|slow|PART-OF-A-PATH`);
    else chosen.push(argument);
  }
  return chosen;
}

class Tally {
  passed = 0;
  failed = [];
  skipped = [];

  add({ outcome, name, file }) {
    if (outcome === "passed") this.passed++;
    else this[outcome].push(file === "" ? name : `${file}: ${name}`);
  }

  get line() {
    return `${this.passed} passed, ${this.failed.length} failed, ${this.skipped.length} skipped`;
  }
}

async function check(name, tally) {
  say(`\n--- ${name}`);
  const code = await run(BUN, ["run", name]);
  tally.add({ outcome: code === 0 ? "passed" : "failed", name, file: "" });
}

/** One run of `bun test`; whatever it does not account for in its report is a failure of its own. */
async function bunTest(title, paths, timeoutMs, tally) {
  say(`\n--- ${title}`);
  const report = join(ROOT, ".cache", "test", `${title.replaceAll(/[^\w.-]+/g, "-")}.xml`);
  rmSync(report, { force: true });
  const startedMs = Date.now();
  const code = await run(
    BUN,
    ["test", "--only-failures", "--reporter=junit", `--reporter-outfile=${report}`, ...paths],
    { timeoutMs },
  );
  let cases = [];
  try {
    cases = testCases(readFileSync(report, "utf8"));
  } catch {
    // No report: the run broke off, which the exit code tells.
  }
  for (const one of cases) tally.add(one);
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(0);
  if (code === 124) tally.add({ outcome: "failed", name: `${title}: not done after ${seconds} s`, file: "" });
  else if (code !== 0 && !cases.some((one) => one.outcome === "failed")) {
    tally.add({ outcome: "failed", name: `${title}: bun test ended with ${code}`, file: "" });
  } else if (code === 0 && cases.length === 0) {
    tally.add({ outcome: "failed", name: `${title}: no test ran`, file: "" });
  }
  const count = (outcome) => cases.filter((one) => one.outcome === outcome).length;
  say(
    `--- ${title}: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped in ${seconds} s`,
  );
}

/** @param {readonly string[]} args @returns {Promise<number>} the exit code */
export async function runTests(args) {
  const chosen = words(args);
  const strict = !["", "0", "false", undefined].includes(process.env.CI);
  mkdirSync(join(ROOT, ".cache", "test"), { recursive: true });
  rmSync(SUMMARY, { force: true });
  const startedMs = Date.now();
  const tally = new Tally();
  try {
    await setUp({ tests: true });
    const { unit, slow, checks } = plan(chosen);
    for (const name of checks) await check(name, tally);
    if (unit.length > 0) await bunTest("unit tests", unit, UNIT_TIMEOUT_MS, tally);
    for (const path of slow) await bunTest(path, [`./${path}`], FILE_TIMEOUT_MS, tally);
    if (unit.length + slow.length + checks.length === 0)
      throw new Error(`no test's path contains ${chosen.join(", ")}`);
  } catch (error) {
    const name = error instanceof Error ? error.message : String(error);
    tally.add({ outcome: "failed", name, file: "" });
  }
  say("");
  for (const name of tally.failed) say(`failed   ${name}`);
  for (const name of tally.skipped) say(`skipped  ${name}`);
  if (strict && tally.skipped.length > 0) say("CI is set: a skipped test is a failure");
  say(`all done in ${((Date.now() - startedMs) / 1000).toFixed(0)} s`);
  writeFileSync(SUMMARY, `${tally.line}\n`);
  process.stdout.write(`${tally.line}\n`);
  return tally.failed.length > 0 || (strict && tally.skipped.length > 0) ? 1 : 0;
}
