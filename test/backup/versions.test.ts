/** @module TREE-18 with the program as it is: real backups of a real tree, edited at random between them, then asked. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dice } from "../../src/backup/index/random-entries.ts";
import { Folder } from "../../src/backup/prune/fold.ts";
import { thisComputer } from "../../src/backup/store/computer.ts";
import { isFault } from "../../src/backup/store/contract.ts";
import { openStore } from "../../src/backup/store/open.ts";

const folder = mkdtempSync(join(tmpdir(), "understudy-versions-"));
const tree = join(folder, "tree");
const store = join(folder, "store");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function understudy(...args: string[]) {
  const main = join(import.meta.dir, "../../src/main.ts");
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, main, ...args], { cwd: folder });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

function sha256(path: string): string | null {
  try {
    return new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
  } catch {
    return null;
  }
}

const BACKUPS = 8;

/** `seen`: the hash of each file's content at each backup; null: not there. */
function expectVersions(
  seen: ReadonlyMap<string, readonly (string | null)[]>,
  isThere: (number: number) => boolean,
): void {
  for (const [name, shas] of seen) {
    const { code, out } = understudy("versions", name, "--store", store, "--json");
    expect(code).toBe(0);
    const answer = JSON.parse(out);
    expect([answer.path, answer.damaged]).toEqual([join(tree, name), []]);
    const told: (string | null)[] = Array(BACKUPS).fill(null);
    for (const { backups, sha256 } of answer.versions) {
      for (const number of backups) told[number - 1] = sha256 ?? null;
    }
    expect([name, told]).toEqual([name, shas.map((sha, at) => (isThere(at + 1) ? sha : null))]);
  }
}

test("TREE-18: the versions of every file, as the backups saw them", () => {
  const dice = new Dice(18);
  mkdirSync(join(tree, "d"), { recursive: true });
  const odd = Buffer.from(join(tree, "d", "odd-"));
  writeFileSync(Buffer.concat([odd, Buffer.of(0xff, 0xfe)]), "not UTF-8");
  const names = Array.from({ length: 12 }, (_, at) => (at % 2 === 0 ? `f${at}` : `d/f${at}`));
  for (const name of names) writeFileSync(join(tree, name), `${name} begins`);
  expect(understudy("store", "init", store).code).toBe(0);
  const seen = new Map<string, (string | null)[]>(names.map((name) => [name, []]));
  for (let number = 1; number <= BACKUPS; number++) {
    // Number 5 has a full index in the middle of the micros.
    const level = number === 1 ? "monthly" : number === 5 ? "daily" : "micro";
    const made = understudy("backup", "--store", store, "--level", level, "--json", tree);
    expect([made.code, made.err]).toEqual([0, expect.any(String)]);
    for (const [name, shas] of seen) shas.push(sha256(join(tree, name)));
    for (let edits = dice.below(4); edits > 0; edits--) {
      const name = names[dice.below(names.length)] as string;
      if (dice.chance(0.4)) rmSync(join(tree, name), { force: true });
      else writeFileSync(join(tree, name), `${name} of ${number}, ${edits}`);
    }
  }
  const lost = [...seen].filter(([, shas]) => shas.at(-1) === null);
  expect(lost.length).toBeGreaterThan(0);
  expectVersions(seen, () => true);
  const found = JSON.parse(understudy("find", "odd-??", "--store", store, "--json").out);
  const path = Buffer.from(found.paths[0].path.b64, "base64");
  expect(path.subarray(-6)).toEqual(Buffer.from("odd-\xff\xfe", "latin1"));
  expect(found.paths[0].versions).toHaveLength(1);
  expect(found.paths[0].versions[0].backups).toHaveLength(BACKUPS);
  // Pared ones are packs now, some without their index: what they knew of changes is not missed.
  const pared = [2, 3, 6];
  const writable = openStore({ directory: store, computer: thisComputer(), write: true });
  if (isFault(writable)) throw new Error(writable.text);
  expect(isFault(new Folder(writable, writable).pare(pared))).toBe(false);
  writable.close();
  expectVersions(seen, (number) => !pared.includes(number));
}, 60_000);
