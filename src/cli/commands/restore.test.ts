import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initStore, openStore } from "../../backup/store/open.ts";
import { good, makeBackup, noise, TEST_COMPUTER } from "../../backup/store/testing.ts";
import { createCli } from "../cli.ts";
import { testPorts } from "../testing.ts";

const folder = mkdtempSync(join(tmpdir(), "understudy-cli-restore-"));
const store = join(folder, "store");
afterAll(() => rmSync(folder, { recursive: true, force: true }));
async function run(...args: string[]) {
  const said = { out: "", err: "" };
  const code = await createCli(testPorts(said)).run(["restore", "--store", store, ...args]);
  return { ...said, code };
}

beforeAll(() => {
  initStore({ directory: store, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 });
  const opened = good(openStore({ directory: store, computer: TEST_COMPUTER, write: true }));
  const files = (...seeds: number[]) => new Map(seeds.map((seed) => [`f${seed}`, noise(seed, 3_000)]));
  const at = (text: string) => Date.parse(text);
  const first = { level: "monthly", parent: null, files: files(1, 2), delta: false } as const;
  makeBackup(opened, { ...first, atMs: at("2026-11-20T13:00:02Z") });
  makeBackup(opened, {
    level: "micro",
    parent: 1,
    files: files(1, 3),
    delta: true,
    atMs: at("2026-11-20T13:15:02Z"),
  });
  makeBackup(opened, {
    level: "micro",
    parent: 2,
    files: files(1, 4),
    delta: true,
    atMs: at("2026-11-20T13:30:02Z"),
  });
  opened.close();
});

let targets = 0;
const target = () => join(folder, `target ${++targets}`);

test("TREE-13: with nothing but a directory, the most recent backup; its content comes from its parents", async () => {
  const directory = target();
  const done = await run(directory);
  expect([done.code, done.err]).toEqual([0, expect.stringContaining("not of this computer")]);
  expect(done.out).toMatch(
    /^backup 3 \(micro, .*\) restored to .*: 2 files and 0 directories made, 0 there already/,
  );
  expect(done.out.split("\n").length).toBe(2);
  expect(readdirSync(directory).sort()).toEqual(["f1", "f4"]);
  expect(Buffer.compare(readFileSync(join(directory, "f1")), noise(1, 3_000))).toBe(0);
});

test("TREE-13: any backup by number; a part of it; as JSON", async () => {
  const directory = target();
  const done = await run("1", directory, "f2", "--json");
  expect(JSON.parse(done.out)).toMatchObject({
    number: 1,
    outcome: "done",
    made: 1,
    bytes: 3000,
    issues: [],
    target: directory,
  });
  expect(readdirSync(directory)).toEqual(["f2"]);
  const list = join(folder, "list");
  writeFileSync(list, "f1\0/f2\0");
  expect(JSON.parse((await run("1", directory, "--paths-from", list, "--json")).out)).toMatchObject({
    made: 1,
    same: 1,
  });
});

test("TREE-18: the version of 13:20 is in the backup of 13:15", async () => {
  const directory = target();
  expect((await run("latest", directory, "--as-of", "2026-11-20T13:20:00Z")).code).toBe(0);
  expect(readdirSync(directory).sort()).toEqual(["f1", "f3"]);
  expect((await run(directory, "--as-of", "2026-11-20T13:15Z", "--dry-run")).out).toContain("backup 2 ");
  expect((await run(directory, "--as-of", "2026-11-20T13:14:59Z", "--dry-run")).out).toContain("backup 1 ");
  expect(await run(directory, "--as-of", "2026-11-20T12:00:00Z")).toMatchObject({
    code: 1,
    err: expect.stringContaining("no backup is that old: the oldest is 1 of 2026-11-20T13:00:02.000Z"),
  });
});

test("a dry run says what would be done, and does nothing", async () => {
  const directory = target();
  const first = await run("3", directory, "--dry-run");
  expect(first.code).toBe(0);
  expect(first.out).toStartWith("+ /f1\n+ /f4\ndry run: backup 3 ");
  expect(existsSync(directory)).toBe(false);
  await run("2", directory);
  writeFileSync(join(directory, "f1"), "mine");
  const second = await run("2", directory, "--dry-run");
  expect([second.code, second.out.split("\n")[0]]).toEqual([7, "! /f1"]);
  const third = await run("2", directory, "--dry-run", "--overwrite", "always", "--json");
  expect(JSON.parse(third.out)).toMatchObject({
    dryRun: true,
    counts: { replace: 2, refuse: 0 },
    bytes: 6000,
  });
  expect(readFileSync(join(directory, "f1"), "utf8")).toBe("mine");
});

test("what is in the way is named, and the code says that it is not all", async () => {
  const directory = target();
  await run("2", directory);
  writeFileSync(join(directory, "f1"), "mine");
  const done = await run("2", directory);
  expect(done.code).toBe(7);
  expect(done.err).toContain(
    "understudy: /f1: exists: a file stands there that is not the backup's; it was left alone\n",
  );
});

test("a command line that makes no sense is refused with what to do", async () => {
  expect(await run()).toMatchObject({
    code: 2,
    err: expect.stringContaining("Name a directory, or say --in-place"),
  });
  expect((await run("9", target())).err).toContain(
    "no backup 9 in this store (it has 1 to 3; `understudy list` shows them)",
  );
  expect((await run(target(), "nothing")).err).toContain("nothing: not in backup 3");
  expect((await run(target(), "../f1")).code).toBe(2);
  expect((await run("2", target(), "--as-of", "2026-11-20")).code).toBe(2);
  expect((await run(target(), "--as-of", "yesterday")).err).toContain("expected a time");
  expect((await run(join(store, "here"))).err).toContain("lies in the store itself");
  // The test's archives do not tell what was left out of them.
  expect((await run(target(), "--delete")).err).toContain("restore without --delete");
});
