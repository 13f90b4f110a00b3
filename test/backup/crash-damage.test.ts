/** @module Damage to a store's files, end to end: the last archive cut off at any length, and bits flipped in every part of
 *  every file. Nothing is silently wrong, what is damaged is named, the rest restores (TREE-03, 08, 13).
 *
 *      DAMAGE_FLIPS=2000 DAMAGE_SEED=7 bun test test/backup/crash-damage.test.ts */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { Random } from "../simulator/random.ts";
import { Laboratory, understudy } from "./tree-maker/laboratory.ts";
import { type Comparison, TreeMaker } from "./tree-maker/maker.ts";

const SEED = Number(process.env.DAMAGE_SEED ?? 1);
const FLIPS = Number(process.env.DAMAGE_FLIPS ?? 48);
const CUTS = Number(process.env.DAMAGE_CUTS ?? 90);
/** Flips in the last bytes, and in the first, are more than their share: headers and footers. */
const EDGE_BYTES = 600;
const WITHIN_MS = 300_000;
/** Backups that are kept; 1 and 3 are packs. */
const KEPT = [2, 4, 5] as const;
const PACKS = [1, 3] as const;

let maker: TreeMaker;
let laboratory: Laboratory;
/** The store as it should be; `laboratory.store` is the one that is damaged. */
let whole: string;

beforeAll(async () => {
  maker = new TreeMaker();
  laboratory = await Laboratory.open("damage");
  await maker.make(laboratory.source, `damage ${SEED}`);
  for (const [n, level] of (["monthly", "weekly", "micro", "micro", "micro"] as const).entries()) {
    if (n > 0) await maker.edit(laboratory.source, `${SEED}.${n}`, 12);
    const { node } = await laboratory.backup({ level, codec: n === 3 ? "zstd" : "lz4" });
    await maker.remember(laboratory.source, String(node.number));
  }
  await laboratory.pare(...PACKS);
  whole = join(laboratory.folder, "whole");
  cpSync(laboratory.store, whole, { recursive: true, preserveTimestamps: true });
}, WITHIN_MS);

afterAll(async () => {
  laboratory.close();
  await maker.stop();
});

function mend(): void {
  rmSync(laboratory.store, { recursive: true, force: true });
  cpSync(whole, laboratory.store, { recursive: true, preserveTimestamps: true });
}

async function listed(): Promise<{ readonly numbers: readonly number[] | null; readonly said: string }> {
  const { exitCode, out, err } = await understudy("list", "--store", laboratory.store, "--json");
  if (exitCode !== 0) return { numbers: null, said: err };
  const { backups } = JSON.parse(out) as { backups: { number: number }[] };
  return { numbers: backups.map(({ number }) => number), said: err };
}

/** Where a path of the backup's comes from in its JSON. */
type JsonPath = string | { readonly b64: string };

interface Restored {
  readonly exitCode: number;
  /** Paths that were named, below the source; bytes as latin-1. */
  readonly named: ReadonlySet<string>;
  /** It was said that the list of files itself is damaged, or nothing was restored at all. */
  readonly isListDamaged: boolean;
  readonly said: string;
  readonly comparison: Comparison;
}

async function restored(number: number): Promise<Restored> {
  const dest = join(laboratory.folder, "dest");
  Bun.spawnSync(["rm", "-rf", dest]);
  Bun.spawnSync(["mkdir", dest]);
  const { exitCode, out, err } = await understudy(
    ...["restore", String(number), dest, "--store", laboratory.store, "--json", "--workers", "1"],
  );
  const comparison = await maker.compare(dest, String(number));
  Bun.spawnSync(["rm", "-rf", dest]);
  const report =
    out === ""
      ? { issues: [], fatal: null }
      : (JSON.parse(out) as { issues: { path: JsonPath; text: string }[]; fatal: string | null });
  const named = new Set(report.issues.map(({ path }) => below(path)));
  const isListDamaged = out === "" || report.fatal !== null || err.includes("index");
  return { exitCode, named, isListDamaged, said: `${err}${out}`, comparison };
}

function below(path: JsonPath): string {
  const bytes = typeof path === "string" ? Buffer.from(path) : Buffer.from(path.b64, "base64");
  return bytes.subarray(Buffer.from(laboratory.source).length + 1).toString("latin1");
}

/** Throws where something is wrong that was not said. */
function judge(number: number, { exitCode, named, isListDamaged, said, comparison }: Restored): void {
  if (comparison.equal) return;
  const fail = (text: string) => {
    throw new Error(`backup ${number} restored: ${text}\n${comparison.text}\nit said (${exitCode}): ${said}`);
  };
  if (exitCode === 0) fail("wrong, and nobody said so");
  const missing = new Set(comparison.found.filter(([kind]) => kind === "missing").map(([, path]) => path));
  for (const [kind, path] of comparison.found) {
    if (named.has(path) || [...named].some((one) => path.startsWith(`${one}/`))) continue;
    // A directory in which something is missing keeps no promise about its time; a group of names shrinks.
    if (kind === "hard links" && [...named, ...missing].some((one) => path.includes(one))) continue;
    if (isListDamaged && (kind === "missing" || kind === "hard links" || kind === "mtime-dir")) continue;
    fail(`${kind} of ${JSON.stringify(path)}, which was not named`);
  }
}

test(
  "TREE-03: the last archive cut off anywhere is told, what it lost is named, and the others restore",
  async () => {
    const random = new Random(SEED);
    const last = KEPT[2];
    const path = join(laboratory.store, "backups", `${String(last).padStart(10, "0")}.backup`);
    mend();
    const bytes = statSync(path).size;
    const lengths = new Set([0, 1, 31, 32, 33, 4095, 4096, 4097, bytes - 513, bytes - 512, bytes - 511]);
    for (let n = 1; n <= 24; n++) lengths.add(bytes - n);
    while (lengths.size < CUTS) lengths.add(random.between(0, bytes - 1));
    const others: number[] = KEPT.filter((number) => number !== last);
    let tried = 0;
    let mended = 0;
    for (const length of lengths) {
      mend();
      truncateSync(path, length);
      const { numbers, said } = await listed();
      expect(said, `cut to ${length}`).toContain(String(last));
      const result = await restored(last);
      // Where the frames' headers are enough to mend it, it is still a backup, and nobody's parent.
      if (numbers?.includes(last)) {
        expect(`${length}: ${numbers}`).toBe(`${length}: ${KEPT}`);
        judge(last, result);
        mended++;
        continue;
      }
      expect(`${length}: ${numbers}`).toBe(`${length}: ${others}`);
      const { exitCode, comparison } = result;
      expect(exitCode).not.toBe(0);
      expect(
        comparison.found.every(
          ([kind]) =>
            kind === "missing" ||
            kind.startsWith("mtime-dir") ||
            kind === "mode" ||
            kind === "owner" ||
            kind === "xattrs" ||
            kind === "hard links",
        ),
      ).toBe(true);
      if (tried++ % 8 === 0)
        for (const number of others) {
          const result = await restored(number);
          expect(`${result.exitCode} ${result.comparison.text}`).toMatch(/^0 .* equal$/);
        }
    }
    expect(mended).toBeGreaterThan(0);
    expect(tried).toBeGreaterThan(0);
    // And life goes on: the next backup finds a parent.
    await laboratory.backup({ level: "micro" });
    await maker.remember(laboratory.source, "now");
    await laboratory.restored("latest", null, async (dest) => {
      expect((await maker.compare(dest, "now")).text).toEndWith(" equal");
    });
  },
  WITHIN_MS,
);

test(
  `TREE-08, 13: a flipped bit anywhere in the store: nothing is silently wrong, the rest restores (seed ${SEED}, ${FLIPS} flips)`,
  async () => {
    const random = new Random(SEED);
    mend();
    const files = readdirSync(whole, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(whole, join(entry.parentPath, entry.name)))
      .filter((name) => statSync(join(whole, name)).size > 0)
      .sort();
    const archives = files.filter((name) => name.endsWith(".backup"));
    const outcomes = new Map<string, number>();
    for (let flip = 0; flip < FLIPS; flip++) {
      // Every file in turn; archives more often.
      const name = flip % 3 === 0 ? files[(flip / 3) % files.length] : archives[flip % archives.length];
      if (name === undefined) continue;
      mend();
      const path = join(laboratory.store, name);
      const content = readFileSync(path);
      const place = random.pick(["any", "any", "start", "end"] as const);
      const edge = Math.min(EDGE_BYTES, content.length);
      const at =
        place === "any"
          ? random.between(0, content.length - 1)
          : random.between(0, edge - 1) + (place === "end" ? content.length - edge : 0);
      const bit = random.between(0, 7);
      content[at] = (content[at] ?? 0) ^ (1 << bit);
      writeFileSync(path, content);
      try {
        const outcome = await look(name);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new Error(`bit ${bit} of byte ${at} of ${name} (${content.length} bytes): ${text}`, {
          cause: error,
        });
      }
    }
    mend();
    process.stderr.write(`${[...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(", ")}\n`);
  },
  WITHIN_MS + FLIPS * 3000,
);

/** What the flip in `name` led to; throws where something is wrong that was not said. */
async function look(name: string): Promise<string> {
  const { numbers, said } = await listed();
  if (numbers === null) {
    expect(said).not.toBe("");
    return "refused";
  }
  let told = said !== "";
  for (const number of KEPT) {
    if (!numbers.includes(number)) {
      // A damaged one may be left out, if that is said.
      expect(said).toContain(String(number));
      continue;
    }
    const result = await restored(number);
    judge(number, result);
    told ||= result.exitCode !== 0;
  }
  const verified = await understudy("verify", "--store", laboratory.store, "--cache");
  told ||= verified.exitCode !== 0;
  // Packs are looked at only as far as somebody needs them.
  if (name.startsWith("backups/") && name.endsWith(".backup"))
    expect(`${name}: told ${told}`).toBe(`${name}: told true`);
  return told ? "told" : "harmless";
}
