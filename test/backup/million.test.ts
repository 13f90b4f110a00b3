/** @module A million files: what a run, a micro without changes and the restore of one file cost in time, memory and room.
 *  On tmpfs, one file in ten with content; made by a line of Python, since that is quickest. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const FILES = Number(process.env.MILLION_FILES ?? 1_000_000);
const MEMORY_BYTES_MAX = 600 * 1024 * 1024;
const GROWTH_BYTES_MAX = 64 * 1024;
const ROOT = join(import.meta.dir, "..", "..");

const MAKE = `
import os, sys
root, files = sys.argv[1], int(sys.argv[2])
for d in range(files // 500):
    p = os.path.join(root, 'a%03d' % (d // 50), 'b%02d' % (d % 50)); os.makedirs(p)
    f = os.open(p, os.O_RDONLY)
    for i in range(500):
        w = os.open('f%03d.txt' % i, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=f)
        if i % 10 == 0: os.write(w, b'%d of %d\\n' % (i, d))
        os.close(w)
    os.close(f)
`;

let place = "";
let source = "";
let store = "";

/** Runs the program under time(1)'s eye: what it said, and its peak resident memory. */
function understudy(...args: string[]): {
  json: Record<string, unknown>;
  residentBytes: number;
  seconds: number;
} {
  const startedMs = performance.now();
  const run = Bun.spawnSync([process.execPath, join(ROOT, "src/main.ts"), ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const seconds = (performance.now() - startedMs) / 1000;
  expect(run.stderr.toString().replaceAll(/^understudy: the store .* same file system.*\n/gm, "")).toBe("");
  expect(run.exitCode).toBe(0);
  const text = run.stdout.toString();
  return {
    json: text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {},
    residentBytes: run.resourceUsage.maxRSS * (run.resourceUsage.maxRSS < 2 ** 26 ? 1024 : 1),
    seconds,
  };
}

function storeBytes(directory: string): number {
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" }))
    bytes += statSync(join(directory, name)).blocks * 512;
  return bytes;
}

beforeAll(() => {
  place = mkdtempSync("/dev/shm/understudy-million-");
  source = join(place, "source");
  store = join(place, "store");
  const made = Bun.spawnSync(["python3", "-c", MAKE, source, String(FILES)]);
  expect(made.exitCode).toBe(0);
  expect(understudy("store", "init", store).residentBytes).toBeGreaterThan(0);
  // Times as fresh as the run's start prove nothing: it would be read again, which is not what is measured here.
  Bun.sleepSync(3500);
}, 180_000);

afterAll(() => {
  // A million unlinks: rm is quicker at it.
  Bun.spawnSync(["rm", "-rf", place]);
  rmSync(place, { recursive: true, force: true });
}, 120_000);

test("TREE-07, 13: a million files: full, micro without changes, one file restored, in little memory and room", () => {
  const full = understudy("backup", "--store", store, "--json", source);
  expect(full.json).toMatchObject({ files: FILES, errors: 0, verified: true });
  expect(full.residentBytes).toBeLessThan(MEMORY_BYTES_MAX);

  const before = storeBytes(store);
  const micro = understudy("backup", "--store", store, "--level", "micro", "--json", source);
  const grown = storeBytes(store) - before;
  expect(micro.json).toMatchObject({
    level: "micro",
    new: 0,
    changed: 0,
    deleted: 0,
    errors: 0,
    verified: true,
  });
  expect(micro.residentBytes).toBeLessThan(MEMORY_BYTES_MAX);
  expect(grown).toBeLessThan(GROWTH_BYTES_MAX);

  const wanted = join(source, "a000", "b07", "f420.txt");
  const there = join(place, "there");
  const restored = understudy("restore", "--store", store, "--json", "latest", there, wanted);
  expect(restored.residentBytes).toBeLessThan(MEMORY_BYTES_MAX);
  expect(readFileSync(join(there, "a000", "b07", "f420.txt"), "utf8")).toBe("420 of 7\n");
  const say = (what: string, { seconds, residentBytes }: { seconds: number; residentBytes: number }) =>
    `${what} ${seconds.toFixed(1)} s, ${Math.round(residentBytes / 2 ** 20)} MiB`;
  process.stdout.write(
    `${FILES} files: ${say("full", full)}; ${say("micro", micro)}, store grown by ${grown} bytes; ${say("one file", restored)}\n`,
  );
}, 240_000);
