/** @module The store's disk runs full, again and again: a backup is whole or it is not there, what is listed restores, and
 *  once there is room the next one works (TREE-10, 11). On a file system of its own where that can be mounted (root), and
 *  by `--capacity` everywhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Laboratory, type Said, understudy } from "./tree-maker/laboratory.ts";
import { TreeMaker } from "./tree-maker/maker.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");
const MIB = 1024 * 1024;
const DISK_MIB = 24;
const ROUNDS = Number(process.env.CRASH_FULL_ROUNDS ?? 10);
const WITHIN_MS = 120_000;

let maker: TreeMaker;
const undo: (() => void)[] = [];
beforeAll(() => {
  maker = new TreeMaker();
});
afterAll(async () => {
  for (const step of undo.reverse()) step();
  await maker.stop();
});

/** A small disk; null: it may not be mounted here. */
function smallDisk(): string | null {
  if (process.getuid?.() !== 0) return null;
  const directory = mkdtempSync(join(tmpdir(), "understudy-full-"));
  undo.push(() => rmSync(directory, { recursive: true, force: true }));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "none", directory]);
  if (mounted.exitCode !== 0) return null;
  undo.push(() => void Bun.spawnSync(["umount", "-l", directory]));
  return directory;
}

const noise = (bytes: number) =>
  crypto.getRandomValues(new Uint8Array(65536)).slice(0, Math.min(65536, bytes));

/** A file that nothing packs. */
function putNoise(path: string, bytes: number): void {
  const parts: Uint8Array[] = [];
  for (let left = bytes; left > 0; left -= 65536) parts.push(noise(left));
  writeFileSync(path, Buffer.concat(parts));
}

type Run = (...args: readonly string[]) => Promise<Said>;

/** A command as a process of its own: what it leaves open goes with it. */
async function inProcess(...args: readonly string[]): Promise<Said> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { exitCode: await child.exited, out, err };
}

class FullDisk {
  readonly laboratory: Laboratory;
  readonly #run: Run;
  /** Backups by number, and the state of the tree that each holds. */
  readonly #known = new Map<number, string>();
  failures = 0;
  lastSaid = "";
  successes = 0;
  pared = 0;

  constructor(laboratory: Laboratory, run: Run) {
    this.laboratory = laboratory;
    this.#run = run;
    mkdirSync(laboratory.source);
  }

  /** Backs up as a user does; whatever comes of it, the store is sound. */
  async backUp(state: string, level: string): Promise<boolean> {
    const { source, store } = this.laboratory;
    await maker.remember(source, state);
    const said = await this.#run("backup", "--store", store, "--level", level, source);
    if (said.exitCode !== 0) {
      expect(said.err).toMatch(/full|room|space/i);
      this.failures++;
      this.lastSaid = said.err;
    } else this.successes++;
    await this.#look(state, said.exitCode === 0);
    return said.exitCode === 0;
  }

  async #look(state: string, isNew: boolean): Promise<void> {
    const { store } = this.laboratory;
    const { out } = await this.laboratory.must("list", "--store", store, "--json");
    const { backups } = JSON.parse(out) as { backups: { number: number }[] };
    const numbers = backups.map(({ number }) => number);
    for (const number of [...this.#known.keys()])
      if (!numbers.includes(number)) {
        this.#known.delete(number);
        this.pared++;
      }
    const fresh = numbers.filter((number) => !this.#known.has(number));
    expect(fresh.length).toBe(isNew ? 1 : 0);
    for (const number of fresh) this.#known.set(number, state);
    for (const [number, name] of this.#known)
      await this.laboratory.restored(number, null, async (dest) => {
        const { equal, text } = await maker.compare(dest, name);
        if (!equal) throw new Error(`backup ${number} restored: ${text}`);
      });
  }
}

async function play(full: FullDisk, capacityBytes: number): Promise<void> {
  const { source } = full.laboratory;
  // More than ever fits.
  for (let n = 0; n < 8; n++) putNoise(join(source, `large${n}`), capacityBytes / 6);
  expect(await full.backUp("too much", "monthly")).toBe(false);
  for (let n = 1; n < 8; n++) rmSync(join(source, `large${n}`));
  for (let n = 0; n < 40; n++) putNoise(join(source, `small${n}`), 20_000);
  expect(await full.backUp("fits", "monthly"), full.lastSaid).toBe(true);
  // Each round is a fifth of the disk; after a few of them something has to go.
  for (let round = 0; round < ROUNDS; round++) {
    const level = ["micro", "daily", "micro", "weekly", "micro", "monthly"][round % 6] ?? "micro";
    putNoise(join(source, `changed${round % 3}`), (capacityBytes / 5) * Math.random());
    await full.backUp(`round ${round}`, level);
  }
  process.stderr.write(`${full.successes} backups, ${full.failures} refused, ${full.pared} pared\n`);
  expect(full.successes).toBeGreaterThan(ROUNDS / 3);
  // Room again: nothing that happened stands in the way.
  for (const name of ["large0", "changed0", "changed1", "changed2"])
    rmSync(join(source, name), { force: true });
  expect(await full.backUp("small again", "micro"), full.lastSaid).toBe(true);
}

test(
  "TREE-10, 11: a store as large as its operator says runs full: nothing torn is listed, what is listed restores",
  async () => {
    const capacityBytes = DISK_MIB * MIB;
    const laboratory = await Laboratory.open("full", { init: ["--capacity", String(capacityBytes)] });
    try {
      await play(new FullDisk(laboratory, understudy), capacityBytes);
    } finally {
      laboratory.close();
    }
  },
  WITHIN_MS,
);

const disk = smallDisk();
test.skipIf(disk === null)(
  `TREE-10, 11: the same where the disk itself is full${disk === null ? " (only root may mount one)" : ""}`,
  async () => {
    if (disk === null) return;
    const laboratory = await Laboratory.open("full", { disk });
    try {
      await play(new FullDisk(laboratory, inProcess), statfsSync(disk).blocks * statfsSync(disk).bsize);
    } finally {
      laboratory.close();
    }
  },
  WITHIN_MS,
);

/** Files that this process has open, by how often. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd")
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        return []; // the list's own
      }
    })
    .filter((path) => path === "/" || path.includes("/understudy-"))
    .sort();
}

test(
  "TREE-11: a process that goes on keeps no file of a backup open, nor the room of one that was thrown away",
  async () => {
    const laboratory = await Laboratory.open("open", { init: ["--capacity", String(8 * MIB)] });
    try {
      const { source, store } = laboratory;
      mkdirSync(source);
      putNoise(join(source, "file"), MIB);
      const before = openFiles();
      const steps: [name: string, step: () => Promise<unknown>][] = [
        ["full", () => laboratory.backup({ level: "monthly", workers: 2 })],
        ["micro", () => laboratory.backup({ level: "micro", workers: 2 })],
        ["verify", () => laboratory.must("verify", "--store", store)],
        ["restore", () => laboratory.restored("latest", null, async () => {})],
        [
          "a backup that does not fit",
          async () => {
            putNoise(join(source, "large"), 16 * MIB);
            await expect(laboratory.backup({ level: "micro", workers: 2 })).rejects.toThrow();
          },
        ],
      ];
      for (const [name, step] of steps) {
        await step();
        expect([name, ...openFiles()]).toEqual([name, ...before]);
      }
    } finally {
      laboratory.close();
    }
  },
  WITHIN_MS,
);
