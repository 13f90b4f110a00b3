/** @module versions, diff and find over stores of made-up backups: what they print, as text and as JSON, and how they end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathLine } from "../../backup/archive/names.ts";
import { initStore, openStore } from "../../backup/store/open.ts";
import { good, makeBackup, TEST_COMPUTER } from "../../backup/store/testing.ts";
import type { WritableStore } from "../../backup/store/contract.ts";
import { createCli } from "../cli.ts";
import { testPorts } from "../testing.ts";

async function run(...args: string[]) {
  const said = { out: "", err: "" };
  const code = await createCli(testPorts(said)).run([...args, "--store", directory]);
  return { code, ...said };
}

let folder = "";
let directory = "";

/** 1 full, 2-4 micro; the report is written in 1 and 3 and gone in 4. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "understudy-queries-"));
  directory = join(folder, "store");
  const request = { directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 };
  if (initStore(request).kind !== "made") throw new Error("no store");
  const store: WritableStore = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
  const day = Date.UTC(2026, 10, 20);
  const files = (report: string | null, more: Record<string, string> = {}) =>
    new Map(
      Object.entries({
        "etc/hosts": "127.0.0.1",
        ...(report === null ? {} : { "home/report": report }),
        ...more,
      }).map(([path, content]) => [path, Buffer.from(content)]),
    );
  const hour = 3_600_000;
  makeBackup(store, { level: "monthly", parent: null, files: files("one"), delta: false, atMs: day });
  makeBackup(store, { level: "micro", parent: 1, files: files("one"), delta: true, atMs: day + hour });
  const third = files("three", { "home/New.txt": "new" });
  makeBackup(store, { level: "micro", parent: 2, files: third, delta: true, atMs: day + 2 * hour });
  const fourth = files(null, { "home/New.txt": "new" });
  makeBackup(store, { level: "micro", parent: 3, files: fourth, delta: true, atMs: day + 3 * hour });
  store.close();
});

afterAll(() => rmSync(folder, { recursive: true }));

describe("versions", () => {
  test("TREE-18: each version with its backups, and how to get the last one back", async () => {
    const { code, out } = await run("versions", "/home/report");
    expect(code).toBe(0);
    const lines = out.split("\n");
    expect(lines[0]).toBe("/home/report");
    expect(lines[2]).toMatch(/^ +1-2 +micro .* 3 B +1970-01-01 .*$/);
    expect(lines[3]).toMatch(/^ +3 +micro .* 5 B .* content$/);
    expect(lines[4]).toMatch(/^ +4 +micro .* gone$/);
    expect(lines[5]).toBe(`restore it: understudy restore 3 DEST /home/report --store ${directory}`);
  });

  test("TREE-18: as JSON", async () => {
    const { code, out } = await run("versions", "home/report", "--json");
    const { path, versions, damaged } = JSON.parse(out);
    expect([code, path, damaged]).toEqual([0, "/home/report", []]);
    expect(versions).toMatchObject([
      { present: true, backups: [1, 2], size: 3, mode: "0000", first: { number: 1, level: "monthly" } },
      { present: true, backups: [3], size: 5, changed: ["content"] },
      { present: false, backups: [4], first: { number: 4, at: "2026-11-20T03:00:00.000Z" } },
    ]);
  });

  test("of what no backup has", async () => {
    const { code, err } = await run("versions", "/home/never");
    expect(code).toBe(1);
    expect(err).toEndWith(`understudy: /home/never: no backup in ${directory} has it\n`);
    expect((await run("versions", "/home/../etc")).code).toBe(2);
  });
});

describe("diff", () => {
  test("TREE-18: signs, sizes, totals", async () => {
    const { code, out } = await run("diff", "1", "3");
    expect(code).toBe(0);
    expect(out).toBe(
      "+ /home/New.txt\nM /home/report  (content, 3 B to 5 B)\n" +
        "from backup 1 to 3: 1 added (3 B), 0 removed (0 B), 1 changed (5 B), 0 with other attributes only\n",
    );
    expect((await run("diff", "1", "latest", "/nothing")).code).toBe(1);
    expect((await run("diff", "1", "latest", "/etc")).out).toStartWith("from backup 1 to 4: 0 added");
    expect((await run("diff", "1", "latest", "/home/report")).out).toStartWith(
      "- /home/report\nfrom backup 1 to 4",
    );
    expect((await run("diff", "2026-11-20 02:30Z", "2026-11-20T03:00Z")).out).toContain(
      "from backup 3 to 4:",
    );
    expect((await run("diff", "1", "9")).code).toBe(1);
  });

  test("TREE-18: as JSON", async () => {
    const { out } = await run("diff", "3", "latest", "--json");
    expect(JSON.parse(out)).toMatchObject({
      a: { number: 3 },
      b: { number: 4 },
      differences: [{ path: "/home/report", change: "removed", before: { size: 5 } }],
      totals: { removed: 1, removedBytes: 5, added: 0 },
    });
  });
});

describe("find", () => {
  test("TREE-18: what is gone is found too", async () => {
    const { code, out } = await run("find", "rep*");
    expect(code).toBe(0);
    expect(out.split("\n").slice(1)).toEqual([
      expect.stringMatching(/^ +1-2 +3 B .* \/home\/report$/),
      expect.stringMatching(/^ +3 +5 B .* \/home\/report$/),
      "",
    ]);
    const json = JSON.parse((await run("find", "NEW*", "-i", "--json")).out);
    expect(json.paths).toMatchObject([{ path: "/home/New.txt", versions: [{ backups: [3, 4] }] }]);
  });

  test("nothing, too many, and no pattern", async () => {
    expect((await run("find", "NEW*")).code).toBe(1);
    expect((await run("find", "*", "--max", "1")).code).toBe(7);
    expect((await run("find", "/")).code).toBe(2);
    expect((await run("find", "*", "--kind", "fifo")).code).toBe(1);
  });
});

test("TREE-18: a damaged backup is told, the others answer", async () => {
  const copy = join(folder, "damaged");
  Bun.spawnSync(["cp", "-r", directory, copy]);
  const whole = directory;
  directory = copy;
  truncateSync(join(copy, "backups", "0000000003.backup"), 4400);
  const { code, out, err } = await run("versions", "/etc/hosts", "--json");
  directory = whole;
  expect(code).toBe(7);
  const { versions, damaged } = JSON.parse(out);
  expect(versions).toMatchObject([{ backups: [1, 2] }]);
  // Its index is a difference to the one that is cut off.
  expect(damaged).toMatchObject([{ number: 4 }]);
  expect(err).toContain("0000000003.backup");
});

test("paths for people: what a terminal must not see is written out", () => {
  const line = (text: string) => pathLine(new Uint8Array(Buffer.from(text, "latin1")));
  expect(line("home/gr\xc3\xbc\xc3\x9fe \xf0\x9f\x8c\xb3")).toBe("/home/gr\u00fc\u00dfe \u{1f333}");
  expect(line("a\nb\x1b[31m\\")).toBe("/a\\nb\\x1b[31m\\\\");
  expect(line("\xff\xc3")).toBe("/\\xff\\xc3");
  expect(line("\xe2\x80\xae.txt")).toBe("/\\xe2\\x80\\xae.txt");
  expect(line("")).toBe("/");
});
