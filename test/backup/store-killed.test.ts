/** @module A process that changes a store is killed before each of its steps: what is left is whole, and the next one
 *  goes on from there. */
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../src/base/assert.ts";
import { Folder } from "../../src/backup/prune/fold.ts";
import { initStore, openStore } from "../../src/backup/store/open.ts";
import {
  type Files,
  good,
  makeBackup,
  noise,
  readBackup,
  TEST_COMPUTER,
} from "../../src/backup/store/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "understudy-killed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STEPS_MAX = 60;
const model = join(folder, "model");
const expected = new Map<number, Files>();

function makeModel(): void {
  good(initStore({ directory: model, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 }));
  const store = good(openStore({ directory: model, computer: TEST_COMPUTER, write: true }));
  for (const [at, parent] of [null, 1, 2, 3, 2, 1].entries()) {
    const content = new Map(parent === null ? [] : expected.get(parent));
    for (let file = 0; file < (parent === null ? 12 : 4); file++) {
      content.set(`f${(at * 3 + file) % 12}`, noise(at * 50 + file, 30_000 + at));
    }
    const level = parent === null ? "monthly" : "micro";
    const { number } = makeBackup(store, { level, parent, files: content, delta: parent !== null });
    expected.set(number, content);
  }
  store.close();
}
makeModel();

/** true: it came to its end. */
function runKilled(directory: string, steps: number, ...what: string[]): boolean {
  const { exitCode, signalCode } = Bun.spawnSync(
    [process.execPath, join(import.meta.dir, "store-killed.ts"), directory, String(steps), ...what],
    { stderr: "inherit" },
  );
  if (exitCode === 0) return true;
  expect(signalCode).toBe("SIGKILL");
  return false;
}

function diskBytes(directory: string): number {
  return readdirSync(join(directory, "packs"))
    .map((name) => statSync(join(directory, "packs", name)).blocks * 512)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** What packs take up after an interrupted paring was made up for; and whether it was interrupted. */
function pareKilled(steps: number): { ended: boolean; bytes: number } {
  const victims = [1, 3, 2, 4];
  const directory = join(folder, `pare-${steps}`);
  cpSync(model, directory, { recursive: true });
  const ended = runKilled(directory, steps, "pare", ...victims.map(String));
  const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
  const expectWhole = (numbers: readonly number[]) => {
    for (const number of numbers) {
      expect(readBackup(store, number)).toEqual(new Map(present(expected.get(number), "its files")));
    }
  };
  const left = store.tree().map(({ number }) => number);
  expect(left.filter((number) => !victims.includes(number))).toEqual([5, 6]);
  expectWhole(left);
  const folding = new Folder(store, store);
  good(folding.settle());
  good(folding.pare(victims.filter((number) => left.includes(number))));
  expectWhole([5, 6]);
  store.close();
  const bytes = diskBytes(directory);
  rmSync(directory, { recursive: true });
  return { ended, bytes };
}

test("TREE-11: paring, killed before each of its steps", () => {
  const whole = pareKilled(STEPS_MAX);
  expect(whole.ended).toBe(true);
  let steps = 0;
  for (; steps < STEPS_MAX; steps++) {
    const { ended, bytes } = pareKilled(steps);
    expect(bytes).toBe(whole.bytes);
    if (ended) break;
  }
  expect(steps).toBeGreaterThan(12);
}, 120_000);

test("TREE-08: marks, replaced by a process that is killed, are the old or the new ones", () => {
  for (let steps = 0, ended = false; !ended; steps++) {
    const directory = join(folder, `mark-${steps}`);
    cpSync(model, directory, { recursive: true });
    ended = runKilled(directory, steps, "mark", "3");
    const store = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
    const marks = store.node(3)?.marks;
    const isOld = marks?.verified?.level === "full" && !marks.pinned;
    const isNew = marks?.verified === null && marks.pinned;
    expect([isOld || isNew, store.notes]).toEqual([true, []]);
    expect(readdirSync(join(directory, "backups")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    store.close();
    rmSync(directory, { recursive: true });
  }
}, 60_000);
