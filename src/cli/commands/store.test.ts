import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { openStore } from "../../backup/store/open.ts";
import { good, makeBackup, noise, TEST_COMPUTER } from "../../backup/store/testing.ts";
import type { BackupSurroundings } from "../backup-ports.ts";
import { CommandFailure } from "../exit.ts";
import { testPorts } from "../testing.ts";
import { addList } from "./list.ts";
import { addPare } from "./pare.ts";
import { addPin } from "./pin.ts";
import { addStore } from "./store.ts";

const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 0, 1);
const folder = mkdtempSync(join(tmpdir(), "understudy-cli-store-"));
const directory = join(folder, "store");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(text: string, change: Partial<BackupSurroundings> = {}) {
  const said = { out: "", err: "", code: -1 };
  const ports = testPorts(said);
  const around: BackupSurroundings = {
    wallMs: () => START_MS + 10 * DAY_MS,
    computer: () => TEST_COMPUTER,
    ask: () => null,
    ...change,
  };
  const program = new Command("understudy").exitOverride().configureOutput({ writeErr: ports.console.err });
  const finish = (code: number) => {
    said.code = code;
  };
  for (const add of [addStore, addList, addPare, addPin]) add(program, ports, finish, around);
  try {
    program.parse(text.split(" "), { from: "user" });
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    return { ...said, code: error.exitCode, err: `${said.err}${error.message}\n` };
  }
  return said;
}

beforeAll(() => {
  const made = run(`store init ${directory} --capacity 1G`);
  expect([made.code, made.err]).toEqual([0, ""]);
  const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
  const files = (...seeds: number[]) => new Map(seeds.map((seed) => [`f${seed}`, noise(seed, 20_000)]));
  const at = (days: number) => START_MS + days * DAY_MS;
  makeBackup(store, { level: "monthly", parent: null, files: files(1, 2), delta: false, atMs: at(0) });
  makeBackup(store, { level: "micro", parent: 1, files: files(1, 3), delta: true, atMs: at(1) });
  makeBackup(store, {
    level: "micro",
    parent: 2,
    files: files(1, 4),
    delta: true,
    atMs: at(9),
    verified: false,
  });
  store.close();
});

describe("the store's commands", () => {
  test("list: a table for people, JSON for programs", () => {
    const { code, out, err } = run(`list --store ${directory}`);
    expect([code, err]).toEqual([0, ""]);
    const lines = out.split("\n");
    expect(lines[0]).toMatch(/Backup +Level +Parent +Time +New +On disk +Entries +Verified +Pinned/);
    expect(lines[2]).toMatch(/2 +micro +1 +2026-01-0\d .* 20.0 kB .* 2 +full/);
    const { backups } = JSON.parse(run(`list --store ${directory} --json`).out);
    expect(backups).toMatchObject([
      {
        number: 1,
        level: "monthly",
        parent: null,
        at: "2026-01-01T00:00:00.000Z",
        verified: "full",
        pinned: false,
      },
      { number: 2, level: "micro", parent: 1, newBytes: 20_008, entries: 2 },
      { number: 3, parent: 2, verified: null },
    ]);
  });

  test("store info: identity and room", () => {
    const info = JSON.parse(run(`store info --store ${directory} --json`).out);
    expect(info).toMatchObject({ computers: ["testbed"], backups: 3, packs: 0, capacityBytes: 1e9 });
    expect(info.usedBytes + info.freeBytes).toBe(1e9);
    expect(run(`store info --store ${directory}`).out).toContain("free of 1.00 GB");
  });

  test("TREE-17: store info: when it is full, from what was stored, and what the rule advises", () => {
    const info = () => JSON.parse(run(`store info --store ${directory} --json`).out);
    const { backups } = JSON.parse(run(`list --store ${directory} --json`).out);
    const [full, ...later] = backups as { storedBytes: number; newBytes: number }[];
    const bytesPerDay = later.reduce((sum, { storedBytes }) => sum + storedBytes, 0) / 9;
    const wantedBytes = Math.ceil((full?.newBytes ?? 0) * 1.5);
    expect(info().forecast).toEqual({ kind: "full", bytesPerDay, at: null });
    expect(info().advice).toMatchObject({ isEnough: true, wantedBytes });

    expect(run(`store init ${directory} --capacity 1M`).code).toBe(0);
    const { forecast, freeBytes } = info();
    const daysLeft = (Date.parse(forecast.at) - (START_MS + 10 * DAY_MS)) / DAY_MS;
    expect(daysLeft).toBeCloseTo(freeBytes / bytesPerDay, 3);
    const { out } = run(`store info --store ${directory}`);
    expect(out).toMatch(/^outlook +grows by [\d.]+ kB a day: full about 20\d\d-\d\d-\d\d; /m);
    expect(out).toMatch(/^advice +[\d.]+ kB: the device has 1.5 times the primary's size or more$/m);
    expect(run(`store init ${directory} --capacity 1G`).code).toBe(0);
  });

  test("TREE-10: pare says first what it would do, by step and reason; a pinned one stays", () => {
    const dry = () => JSON.parse(run(`pare --store ${directory} --dry-run --json`).out);
    expect(dry()).toMatchObject({ dryRun: true, enough: true, pares: [{ number: 2, step: "100" }] });
    expect(run(`pin 2 --store ${directory}`)).toMatchObject({
      code: 0,
      out: "backup 2 is pinned: it stays\n",
    });
    expect(dry().pares).toEqual([]);
    expect(JSON.parse(run(`pin --remove 2 --store ${directory} --json`).out)).toMatchObject({
      pinned: false,
    });
    expect(run(`pin latest --store ${directory}`).out).toBe("backup 3 is pinned: it stays\n");
    expect(run(`pin --remove latest --store ${directory}`).code).toBe(0);
    const planned = dry().pares[0].freedBytes;
    const { code, out } = run(`pare --store ${directory} --json`);
    expect([code, JSON.parse(out).freedBytes]).toEqual([0, planned]);
    expect(JSON.parse(run(`list --store ${directory} --json`).out).backups).toMatchObject([
      { number: 1 },
      { number: 3, parent: 1 },
    ]);
    expect(run(`pare --store ${directory}`).out).toBe("0 gone, 0 B came free\n");
  });

  test("pare that cannot make the room deletes nothing and fails", () => {
    const { code, err } = run(`pare --store ${directory} --free 2G`);
    expect(code).toBe(1);
    expect(err).toContain("nothing goes for space");
    expect(JSON.parse(run(`list --store ${directory} --json`).out).backups.length).toBe(2);
  });

  test("what is refused says why and what to do", () => {
    expect(run(`list --store ${folder}`)).toMatchObject({ code: 5, out: "" });
    expect(run(`list --store ${folder}`).err).toContain("understudy store init");
    expect(run(`pin 77 --store ${directory}`)).toMatchObject({ code: 1 });
  });

  test("another computer's store is asked about", () => {
    const path = join(directory, "understudy-store.json");
    const before = readFileSync(path, "utf8");
    const computer = () => ({ name: "other", machineId: "ffffffffffffffffffffffffffffffff" });
    expect(run(`pin 1 --store ${directory}`, { computer })).toMatchObject({ code: 5 });
    expect(run(`pin 1 --store ${directory}`, { computer, ask: () => "no" })).toMatchObject({ code: 5 });
    expect(readFileSync(path, "utf8")).toBe(before);
    expect(run(`list --store ${directory}`, { computer }).err).toContain("testbed");
    let asked = "";
    const ask = (question: string) => {
      asked = question;
      return "y";
    };
    expect(run(`pin 1 --store ${directory}`, { computer, ask }).code).toBe(0);
    expect(asked).toContain("[y/N]");
    expect(run(`pin --remove 1 --store ${directory}`, { computer }).code).toBe(0);
    writeFileSync(path, before);
    expect(run(`pin 1 --store ${directory} --accept-other-computer`, { computer }).code).toBe(0);
  });
});
