/** @module A bit is flipped somewhere in a store: what the store then says is right, or it says what is damaged. */
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFault } from "../../src/backup/store/contract.ts";
import { initStore, openStore } from "../../src/backup/store/open.ts";
import { good, makeBackup, noise, readBackup, TEST_COMPUTER } from "../../src/backup/store/testing.ts";

const folder = mkdtempSync(join(tmpdir(), "understudy-flips-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FLIPS = 250;
const directory = join(folder, "store");
const files = (...seeds: number[]) => new Map(seeds.map((seed) => [`f${seed}`, noise(seed, 3000)]));
const expected = new Map([
  [1, files(1, 2)],
  [2, files(1, 2, 3)],
]);

good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: 1e9, nowMs: 0 }));
const made = good(openStore({ directory, computer: TEST_COMPUTER, write: true }));
makeBackup(made, { level: "monthly", parent: null, files: files(1, 2), delta: false });
makeBackup(made, { level: "micro", parent: 1, files: files(1, 2, 3), delta: true });
good(made.mark(2, { pinned: true }));
good(made.usesOf(2));
const tree = made.tree();
const { identity } = made;
made.close();
const whole = join(folder, "whole");
cpSync(directory, whole, { recursive: true, preserveTimestamps: true });

/** What a flip led to; throws where something was wrong and nobody said so. */
function look(): "right" | "named" {
  const store = openStore({ directory, computer: TEST_COMPUTER, write: false });
  if (isFault(store)) return store.text === "" ? fail("refused without a word") : "named";
  try {
    if (store.notes.length > 0) return "named";
    // Other than named, the list is right whatever the catalog says.
    expect(store.tree()).toEqual(tree);
    expect(store.identity).toEqual(identity);
    for (const [number, content] of expected) {
      let seen: Map<string, Uint8Array>;
      try {
        seen = readBackup(store, number);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        return "named";
      }
      expect(seen).toEqual(content);
    }
    const uses = store.usesOf(2);
    if (isFault(uses)) return "named";
    expect([...uses.keys()].sort()).toEqual([1, 2]);
    return "right";
  } finally {
    store.close();
  }
}

function fail(why: string): never {
  throw new Error(why);
}

const paths = (readdirSync(whole, { recursive: true, withFileTypes: true }) as import("node:fs").Dirent[])
  .filter((one) => one.isFile())
  .map((one) => join(one.parentPath, one.name).slice(whole.length + 1))
  // The catalog first: it counts only while the archives are the files that it was made from.
  .sort((a, b) => Number(b === "catalog.sqlite") - Number(a === "catalog.sqlite") || (a < b ? -1 : 1));

for (const path of paths) {
  test(`a flipped bit in ${path} is harmless, or named`, () => {
    const content = readFileSync(join(whole, path));
    if (content.length === 0) return;
    const outcomes = { right: 0, named: 0 };
    let state = 7;
    for (let flip = 0; flip < Math.min(FLIPS, content.length * 8); flip++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      const at = Math.floor((state / 2147483648) * content.length);
      const damaged = Buffer.from(content);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (state & 7));
      rmSync(join(directory, path), { force: true });
      writeFileSync(join(directory, path), damaged);
      outcomes[look()]++;
    }
    rmSync(join(directory, path), { force: true });
    cpSync(join(whole, path), join(directory, path), { preserveTimestamps: true });
    const isDerived = /^(catalog|lock|reserve|README|restore)/.test(path);
    if (isDerived) expect(outcomes.named).toBe(0);
    if (/^(understudy-store|backups.*marks)/.test(path)) expect(outcomes.right).toBe(0);
  }, 60_000);
}
