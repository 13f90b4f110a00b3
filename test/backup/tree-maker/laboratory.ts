/** @module A store and a tree to back up, in a temporary folder: what the tests of whole histories do with them.
 *
 *  Everything runs in this process: the commands through the command line's own code, backups through `makeBackup`, so that
 *  a test can say what time it is. The store is opened anew for every step, as each command does. */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CodecName } from "../../../src/backup/codec/codec.ts";
import { Folder } from "../../../src/backup/prune/fold.ts";
import { type BackupDone, makeBackup } from "../../../src/backup/run/backup.ts";
import { emptyProgress } from "../../../src/backup/run/run.ts";
import { thisComputer } from "../../../src/backup/store/computer.ts";
import {
  type BackupNode,
  isFault,
  type PrunableStore,
  type StoreFault,
} from "../../../src/backup/store/contract.ts";
import { openStore } from "../../../src/backup/store/open.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { createCli } from "../../../src/cli/cli.ts";
import type { CliPorts } from "../../../src/cli/ports.ts";
import { DEFAULT_SCHEDULE } from "../../../src/plan/schedule.ts";
import type { Level } from "../../../src/plan/tree.ts";

const WORKER = new URL("../../../src/worker.ts", import.meta.url).href;
const SHARED_MEMORY = "/dev/shm";
const SHARED_MEMORY_LEAST_BYTES = 1e9;

export interface BackupWish {
  readonly level?: Level | "auto";
  readonly codec?: CodecName;
  readonly paranoid?: boolean;
  readonly workers?: number;
  readonly verify?: "quick" | "full" | null;
}

export interface LaboratoryOptions {
  readonly clock?: Clock;
  /** The directory that the store is made in; default: beside the source. */
  readonly disk?: string;
  /** For `store init`. */
  readonly init?: readonly string[];
}

export interface Said {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Where tests keep trees: memory where there is some, else the disk. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(hasSharedMemory() ? SHARED_MEMORY : tmpdir(), `understudy-${name}-`));
}

function hasSharedMemory(): boolean {
  try {
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return bavail * bsize > SHARED_MEMORY_LEAST_BYTES;
  } catch {
    return false;
  }
}

export const spawnWorker = (name: string): Worker => new Worker(WORKER, { name });

/** One command of `understudy`, in this process. */
export async function understudy(...args: readonly string[]): Promise<Said> {
  let out = "";
  let err = "";
  const notHere = () => Promise.reject(new Error("not in this test"));
  const ports: CliPorts = {
    version: "0.0.0-test",
    startServer: notHere,
    doctor: notHere,
    demo: notHere,
    cartridges: notHere,
    spawnWorker,
    console: {
      out: (text) => {
        out += text;
      },
      outBytes: () => true,
      err: (text) => {
        err += text;
      },
      terminal: false,
      environment: {},
      onStopSignal: () => () => {},
    },
  };
  const exitCode = await createCli(ports).run(args);
  return { exitCode, out, err };
}

export class Laboratory {
  readonly folder: string;
  readonly source: string;
  readonly store: string;
  readonly #dest: string;
  readonly clock: Clock;

  private constructor(folder: string, { clock = systemClock, disk = folder }: LaboratoryOptions) {
    this.folder = folder;
    this.source = join(folder, "source");
    this.store = join(disk, "store");
    this.#dest = join(folder, "restored");
    this.clock = clock;
  }

  /** The store is made, the source is not. */
  static async open(name: string, options: LaboratoryOptions = {}): Promise<Laboratory> {
    const laboratory = new Laboratory(temporaryFolder(name), options);
    await laboratory.must("store", "init", laboratory.store, ...(options.init ?? []));
    return laboratory;
  }

  close(): void {
    // rm, not rmSync: trees may be deeper than the longest path.
    Bun.spawnSync(["rm", "-rf", this.folder]);
  }

  /** A command that has to succeed. */
  async must(...args: readonly string[]): Promise<Said> {
    const said = await understudy(...args);
    if (said.exitCode !== 0)
      throw new Error(`understudy ${args.join(" ")}: exit code ${said.exitCode}\n${said.out}${said.err}`);
    return said;
  }

  /** Opens the store for writing, and closes it again. */
  async inStore<T>(act: (store: PrunableStore) => T | Promise<T>): Promise<T> {
    const store = sound(openStore({ directory: this.store, computer: thisComputer(), write: true }));
    try {
      return await act(store);
    } finally {
      store.close();
    }
  }

  async backup(wish: BackupWish = {}): Promise<BackupDone> {
    const notes: string[] = [];
    const outcome = await this.inStore((store) =>
      makeBackup(
        store,
        {
          level: wish.level ?? "auto",
          schedule: DEFAULT_SCHEDULE,
          selection: {
            sources: [new Uint8Array(Buffer.from(this.source))],
            exclude: [],
            excludeCaches: false,
            sizeMaxBytes: null,
            honourNodump: false,
            oneFileSystem: false,
          },
          codec: wish.codec ?? "lz4",
          paranoid: wish.paranoid ?? false,
          trustInode: true,
          trustCtime: true,
          workers: wish.workers ?? 1,
          verify: wish.verify === undefined ? "full" : wish.verify,
          keepWeeklies: null,
          software: "understudy 0.0.0-test",
          computer: thisComputer(),
        },
        {
          spawn: spawnWorker,
          clock: this.clock,
          progress: emptyProgress(),
          explain: null,
          tell: (note) => notes.push(note),
        },
      ),
    );
    if (outcome.kind === "failed") throw new Error([outcome.text, ...notes].join("\n"));
    return outcome;
  }

  async tree(): Promise<readonly BackupNode[]> {
    const store = sound(openStore({ directory: this.store, computer: thisComputer(), write: false }));
    try {
      return store.tree();
    } finally {
      store.close();
    }
  }

  /** These backups go, whatever a plan would say: all that hang on them stay. */
  async pare(...numbers: readonly number[]): Promise<void> {
    await this.inStore((store) => sound(store.alone(() => new Folder(store, store).pare([...numbers]))));
  }

  /** Restores into an empty directory, lets `look` see it, and removes it. `path`: below the source, bytes as latin-1. */
  async restored<T>(
    id: number | "latest",
    path: string | null,
    look: (dest: string) => Promise<T>,
  ): Promise<T> {
    rmSync(this.#dest, { recursive: true, force: true });
    const list = join(this.folder, "paths");
    if (path !== null) writeFileSync(list, Buffer.from(`${path}\0`, "latin1"));
    const some = path === null ? [] : ["--paths-from", list];
    try {
      await this.must("restore", String(id), this.#dest, ...some, "--store", this.store);
      return await look(this.#dest);
    } finally {
      Bun.spawnSync(["rm", "-rf", this.#dest]);
    }
  }
}

export function sound<T>(outcome: T | StoreFault): T {
  if (isFault(outcome)) throw new Error(outcome.text);
  return outcome;
}
