/** @module One bit is flipped in every part of every file of a store: `verify` says so, and each backup is restored exactly
 *  but for what is named (TREE-08, 13). Every frame of every archive has its turn.
 *
 *      FLIPS_A_PART=20 FLIPS_SEED=7 bun test test/backup/flips-restore.test.ts */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { FOOTER_BYTES, FRAME_HEADER_BYTES, FRAME_KIND } from "../../src/backup/archive/layout.ts";
import { openArchive } from "../../src/backup/archive/reader.ts";
import { createFrameRoom } from "../../src/backup/archive/workspace.ts";
import type { Gap } from "../../src/backup/index/mended.ts";
import { SAME_IDENTITIES } from "../../src/backup/restore/attributes.ts";
import { mayLieIn } from "../../src/backup/restore/damage.ts";
import { openMounts } from "../../src/backup/restore/mounts.ts";
import { type RestoreReport, restore } from "../../src/backup/restore/restore.ts";
import { openSource } from "../../src/backup/restore/source.ts";
import { describeTree } from "../../src/backup/restore/testing.ts";
import { thisComputer } from "../../src/backup/store/computer.ts";
import type { ReadableStore } from "../../src/backup/store/contract.ts";
import { openStore } from "../../src/backup/store/open.ts";
import { noise } from "../../src/backup/store/testing.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Random } from "../simulator/random.ts";
import { Laboratory, sound, understudy } from "./tree-maker/laboratory.ts";

const SEED = Number(process.env.FLIPS_SEED ?? 1);
const FLIPS_A_PART = Number(process.env.FLIPS_A_PART ?? 1);
const PARED = 3;
const KEPT = [1, 2, 4, 5] as const;

let laboratory: Laboratory;
let whole: string;
/** What each backup holds: lines by path. */
const expected = new Map<number, Map<string, string>>();

const put = (path: string, content: Uint8Array | string) =>
  writeFileSync(join(laboratory.source, path), content);

/** A little of everything, of which each backup changes a little. */
function edit(round: number): void {
  const { source } = laboratory;
  if (round === 0) {
    for (const directory of ["a", "a/deep", "b", "c"])
      mkdirSync(join(source, directory), { recursive: true });
    for (let file = 0; file < 24; file++) {
      put(`${["a", "a/deep", "b", "c"][file % 4]}/f${file}`, noise(file, 1000 + 40 * file));
    }
    put("b/large", noise(99, 600_000));
    put("c/text", "some words, again and again; ".repeat(400));
    put("empty", "");
    symlinkSync("a/f0", join(source, "link"));
    return;
  }
  put(`a/new${round}`, noise(100 + round, 2000));
  put(`b/f${round * 4 + 2}`, noise(200 + round, 3000));
  appendFileSync(join(source, "c/text"), `round ${round}\n`);
  rmSync(join(source, `a/deep/f${round * 4 + 1}`));
}

beforeAll(async () => {
  laboratory = await Laboratory.open("flips-restore");
  mkdirSync(laboratory.source);
  for (const [round, level] of (["monthly", "weekly", "daily", "micro", "micro"] as const).entries()) {
    edit(round);
    const { node } = await laboratory.backup({ level, codec: round % 2 === 0 ? "lz4" : "none" });
    expect(node.number).toBe(round + 1);
    expected.set(node.number, treeAt(laboratory.source));
  }
  await laboratory.pare(PARED);
  whole = join(laboratory.folder, "whole");
  cpSync(laboratory.store, whole, { recursive: true, preserveTimestamps: true });
}, 60_000);

afterAll(() => laboratory.close());

/** Lines by path; a directory's size is the file system's affair. */
function treeAt(directory: string): Map<string, string> {
  return new Map(
    describeTree(directory).map((line) => {
      const fields = line.split(" | ");
      if (fields[1] === "1") fields[4] = "-";
      return [(fields[0] ?? "").slice(1), fields.slice(1).join(" | ")];
    }),
  );
}

/** The store as it was before. */
function mend(): void {
  rmSync(laboratory.store, { recursive: true, force: true });
  cpSync(whole, laboratory.store, { recursive: true, preserveTimestamps: true });
}

async function restoreOf(
  store: ReadableStore,
  number: number,
  directory: string,
): Promise<RestoreReport & { readonly gaps: readonly Gap[] }> {
  const source = openSource(store, number, true);
  if (source.kind !== "source") throw new Error(`backup ${number}: ${source.text}`);
  const mounted = openMounts(source.roots, Buffer.from(directory), null, true);
  if (mounted.kind !== "mounted") throw new Error(mounted.text);
  try {
    const report = await restore(
      {
        index: source.index,
        packs: source.packs,
        paths: null,
        mounts: mounted.mounts,
        identities: SAME_IDENTITIES,
        policy: "never",
        paranoid: false,
        delete: source.spared,
        expected: null,
        workers: 0,
        issuesKeptMax: 1000,
      },
      { clock: systemClock, spawn: null },
    );
    return { ...report, gaps: source.index.gaps ?? [] };
  } finally {
    mounted.close();
  }
}

/** Restores all backups; throws where something is wrong that was not named. Returns whether all were exact. */
async function restoreAll(store: ReadableStore): Promise<boolean> {
  let exact = true;
  expect(store.tree().map(({ number }) => number)).toEqual([...KEPT]);
  for (const number of KEPT) {
    const directory = join(laboratory.folder, "restored");
    rmSync(directory, { recursive: true, force: true });
    const report = await restoreOf(store, number, directory);
    const found = treeAt(directory);
    const top = laboratory.source.length;
    const named = new Map(
      report.issues.map(({ path, text }) => [Buffer.from(path).toString().slice(top), text]),
    );
    const wrong: string[] = [];
    for (const [path, line] of expected.get(number) ?? []) {
      if (found.get(path) === line) continue;
      exact = false;
      // What no other backup knows is named by the gap that it lies in.
      const full = Buffer.from(path === "" ? laboratory.source : `${laboratory.source}/${path}`).subarray(1);
      const isInGap = !found.has(path) && report.gaps.some((gap) => mayLieIn(full, gap));
      if (!named.has(path) && !isInGap) wrong.push(`${path}: ${line}, but ${found.get(path)}`);
    }
    for (const path of found.keys()) if (!expected.get(number)?.has(path)) wrong.push(`${path} is too much`);
    const isSaid = report.outcome === "partial" || found.size === expected.get(number)?.size;
    if (!isSaid) wrong.push(`nobody says that something is missing`);
    if (wrong.length > 0)
      throw new Error(`backup ${number}: ${wrong.join("\n")}\n${[...named]}\n${report.notes}`);
  }
  return exact;
}

interface Part {
  readonly file: string;
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** Every part of an archive: header, each frame's header and bytes, what is between them, the footer. */
function partsOf(file: string): Part[] {
  const path = join(whole, file);
  const opened = openArchive(path, createFrameRoom());
  if (opened.kind !== "archive") throw new Error(opened.text);
  const { archive } = opened;
  const parts: Part[] = [];
  const add = (what: string, from: number, to: number) => parts.push({ file, what, from, to });
  add("header", 0, 200);
  add("header", 200, 4096);
  const frame = (what: string, offset: number, storedBytes: number) => {
    const from = offset + FRAME_HEADER_BYTES;
    add(`${what}'s header`, offset, from);
    add(what, from, from + storedBytes);
    const end = Math.ceil((from + storedBytes) / 16) * 16;
    if (end > from + storedBytes) add(`padding of ${what}`, from + storedBytes, end);
  };
  for (let chunk = 0; chunk < archive.footer.chunks; chunk++) {
    const row = archive.chunk(chunk);
    if (row === null || "kind" in row) throw new Error("a chunk is missing");
    frame(`chunk ${chunk}`, row.offset, row.storedBytes);
  }
  for (const [name, kind] of Object.entries(FRAME_KIND)) {
    const frames = kind === FRAME_KIND.chunk ? [] : archive.frames(kind);
    if ("kind" in frames) throw new Error(frames.text);
    for (const { offset, storedBytes } of frames) frame(name, offset, storedBytes);
  }
  const end = archive.sizeBytes - FOOTER_BYTES;
  add("footer", end, end + 184);
  add("footer", end + 184, archive.sizeBytes);
  archive.close();
  return parts;
}

const DERIVED = /^(catalog|lock|reserve)/;

test(
  "TREE-08, 13: whichever bit is flipped, verify notices, and all restores but what is named",
  async () => {
    const random = new Random(SEED);
    const files = readdirSync(whole, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(whole, join(entry.parentPath, entry.name)))
      .filter((name) => statSync(join(whole, name)).size > 0)
      .sort();
    const parts = files.flatMap((file) =>
      file.endsWith(".backup")
        ? partsOf(file)
        : [{ file, what: "file", from: 0, to: statSync(join(whole, file)).size }],
    );
    const counts = { exact: 0, named: 0, unnoticed: 0 };
    for (const { file, what, from, to } of parts) {
      const isArchive = file.endsWith(".backup");
      for (let flip = 0; flip < FLIPS_A_PART * (isArchive ? 1 : 3); flip++) {
        const at = random.between(from, to - 1);
        const bit = random.between(0, 7);
        const content = readFileSync(join(whole, file));
        content[at] = (content[at] ?? 0) ^ (1 << bit);
        writeFileSync(join(laboratory.store, file), content);
        const where = `bit ${bit} of byte ${at} of ${file} (${what})`;
        try {
          const store = sound(
            openStore({ directory: laboratory.store, computer: thisComputer(), write: false }),
          );
          const exact = await restoreAll(store).finally(() => store.close());
          counts[exact ? "exact" : "named"]++;
          const { exitCode, err } = await understudy(
            ...["verify", "--store", laboratory.store, "--cache", "--workers", "1"],
          );
          const isNoticed = exitCode !== 0 || err.includes(file.replace(/.*\//, ""));
          if (!isNoticed) counts.unnoticed++;
          // Of a pack, what no backup needs is not looked at.
          const mayMiss = DERIVED.test(file) || (file.startsWith("packs/") && exact);
          if (!isNoticed && !mayMiss) throw new Error("verify does not notice");
          if (file.startsWith("backups/") && isArchive && exitCode !== 7)
            throw new Error("verify says it is good");
        } catch (error) {
          throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, {
            cause: error,
          });
        }
        mend();
      }
    }
    process.stderr.write(`${parts.length} parts; ${JSON.stringify(counts)}\n`);
  },
  120_000 * FLIPS_A_PART,
);
