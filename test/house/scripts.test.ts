/** @module The scripts that set up and count: what `npm test` says must be what happened. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { wantedPackages } from "../../scripts/house/debian.mjs";
import { testCases } from "../../scripts/house/junit.mjs";

import { parseSettings } from "../../src/config.ts";

const ROOT = join(import.meta.dir, "..", "..");
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

async function ended(argv: string[], cwd = ROOT) {
  const child = Bun.spawn(argv, { cwd, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

test("Bun's own report: passed, failed, skipped and todo are counted, names with marks survive", async () => {
  const directory = mkdtempSync(join(tmpdir(), "understudy-junit-"));
  directories.push(directory);
  writeFileSync(
    join(directory, "a.test.ts"),
    `import { describe, expect, test } from "bun:test";
describe("a > b", () => {
  test('<&> "quoted"', () => {});
  test("fails", () => { expect(1).toBe(2); });
  test("throws", () => { throw new Error("]]> <failure>"); });
  test.skip("skipped", () => {});
  test.todo("todo");
});
test("alone", () => {});
`,
  );
  const report = join(directory, "report.xml");
  await ended([process.execPath, "test", "--reporter=junit", `--reporter-outfile=${report}`], directory);
  const cases = testCases(readFileSync(report, "utf8"));
  expect(cases.map(({ name, outcome }) => `${outcome}: ${name}`)).toEqual([
    'passed: a > b > <&> "quoted"',
    "failed: a > b > fails",
    "failed: a > b > throws",
    "skipped: a > b > skipped",
    "skipped: a > b > todo",
    "passed: alone",
  ]);
});

test("the Debian packages wanted are the union of all lists, each once", () => {
  const wanted = wantedPackages();
  expect(wanted).toEqual([...new Set(wanted)].sort());
  expect(wanted).toContain("libiscsi-bin");
});

test("unknown words are told, with the usage, and nothing goes to standard output", async () => {
  const { code, out, err } = await ended(["node", "scripts/run.mjs", "dance"]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain("usage: node scripts/run.mjs demo");
});

test("set-up is quiet and quick where nothing is to be done", async () => {
  await ended(["node", "scripts/setup.mjs"]);
  const { code, out, err } = await ended(["node", "scripts/setup.mjs"]);
  expect([code, out, err]).toEqual([0, "", ""]);
});

test(".ci/run calls exactly npm test", () => {
  const script = readFileSync(join(ROOT, ".ci", "run"), "utf8");
  expect(script.match(/^npm .*$/gm)).toEqual(["npm test"]);
  expect(existsSync(join(ROOT, "package-lock.json"))).toBeTrue();
});

test("the settings that README shows are taken as they stand there", () => {
  const [, example = ""] = /```toml\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, "README.md"), "utf8")) ?? [];
  expect(example).toContain("[library]");
  const outcome = parseSettings(example, "README.md", {}, {});
  expect(outcome.kind === "misconfigured" ? outcome.lines : []).toEqual([]);
});
