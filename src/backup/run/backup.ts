/** @module A backup as its operator means it: the store is opened, the level and the parent are chosen, room is made, the
 *  run is carried out, committed, verified and marked.
 *
 *  (1) Parents are chosen after paring, and are verified ones; a parent whose index cannot be read loses its mark, and the
 *      next best is taken: one damaged backup does not end all later ones.
 *  (2) Paring is planned whole before the first deletion. Where it cannot make room for a full, an incremental is made.
 *  (3) What was committed stays committed, whatever its verification says: it is listed, but is nobody's parent. */
import { realpathSync, statSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { formatBytes } from "../../base/units.ts";
import { due, type ScheduleSettings } from "../../plan/schedule.ts";
import { type Level, placeOf } from "../../plan/tree.ts";
import { pathLine } from "../archive/names.ts";
import { ArchiveDamaged, type ArchiveHeader, type WriteFault } from "../archive/types.ts";
import { createFrameRoom, type FrameRoom } from "../archive/workspace.ts";
import type { CodecName } from "../codec/codec.ts";
import { type Entry, isWithin } from "../entry.ts";
import type { Index } from "../index/lookup.ts";
import { MalformedRecord } from "../index/record.ts";
import { readNames } from "../scan/names.ts";
import { identityOf, type Selection, scanRules } from "../scan/selection.ts";
import {
  type BackupNode,
  isFault,
  type PackNode,
  type PartialRun,
  type PrunableStore,
  type StoreFault,
  type WritableStore,
} from "../store/contract.ts";
import { isNeeded } from "../store/uses.ts";
import type { PlannedPare } from "../prune/prune.ts";
import type { VerifyLevel } from "../verify/types.ts";
import type { Reason } from "./judge.ts";
import { expectedBytes, makeRoom, nextLower } from "./make-room.ts";
import { openPartial } from "./partial.ts";
import type { SpawnWorker } from "../threads.ts";
import { emptyProgress, type RunOutcome, type RunProgress, runBackup, type Written } from "./run.ts";
import { allSources, findSources, type Sources } from "./sources.ts";
import { type VerificationOutcome, verifyAndMark } from "./verification.ts";

export interface BackupOptions {
  readonly level: Level | "auto";
  readonly schedule: ScheduleSettings;
  readonly selection: Selection;
  readonly codec: CodecName;
  readonly paranoid: boolean;
  readonly trustInode: boolean;
  readonly trustCtime: boolean;
  /** Read back afterwards; null: not. */
  readonly verify: VerifyLevel | null;
  /** Dailies older than the newest so many weeklies go by age; null: they stay. */
  readonly keepWeeklies: number | null;
  readonly workers: number;
  /** Name and version of the program. */
  readonly software: string;
  readonly computer: { readonly name: string; readonly machineId: string };
}

export interface BackupPorts {
  readonly spawn: SpawnWorker;
  readonly clock: Clock;
  readonly progress: RunProgress;
  readonly explain: ((entry: Entry, reason: Reason) => void) | null;
  /** Sentences that the operator should read, as they come up. */
  readonly tell: (note: string) => void;
  readonly signal?: AbortSignal;
}

export interface BackupDone {
  readonly kind: "done";
  readonly node: BackupNode;
  readonly written: Written;
  /** An interrupted run was taken over. */
  readonly resumed: boolean;
  /** What was pared before it. */
  readonly pares: readonly PlannedPare[];
  /** null: it was not asked for. */
  readonly verification: VerificationOutcome | null;
}

export type BackupOutcome = BackupDone | { readonly kind: "failed"; readonly text: string };

/** Longest chain of differences that an index is read through. */
const DELTAS_MAX = 100;
/** Runs that end with a full store and begin again with more room. */
const TRIES_MAX = 4;

/** What a run is to be: decided anew for each try. */
interface Course {
  readonly level: Level;
  readonly parent: BackupNode | null;
  readonly index: Index | null;
}

export async function makeBackup(
  store: PrunableStore,
  options: BackupOptions,
  ports: BackupPorts,
): Promise<BackupOutcome> {
  const sources = findSources(options.selection.sources);
  if (sources.kind === "none")
    return { kind: "failed", text: `${pathLine(sources.source)}: ${sources.text}` };
  const { roots } = sources;
  const within = roots.find((root) => isOfStore(root, store.directory));
  if (within !== undefined)
    return { kind: "failed", text: `${pathLine(within)}: lies in the store itself; name another source` };
  warnOfSharedDisk(store.directory, roots, ports.tell);
  const attempt = new Attempt(store, options, ports, sources);
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const outcome = await attempt.run();
    if (outcome !== "again") return outcome;
  }
  return { kind: "failed", text: `${store.directory}: the store is full, however much is pared` };
}

/** One backup, tried until it fits. */
class Attempt {
  readonly #store: PrunableStore;
  readonly #options: BackupOptions;
  readonly #ports: BackupPorts;
  readonly #sources: Sources;
  readonly #room = createFrameRoom();
  readonly #pares: PlannedPare[] = [];
  #wanted: Level;
  /** What the last try found that it needs, beyond what the store's history tells. */
  #neededBytes = 0;

  constructor(store: PrunableStore, options: BackupOptions, ports: BackupPorts, sources: Sources) {
    this.#store = store;
    this.#options = options;
    this.#ports = ports;
    this.#sources = sources;
    this.#wanted = levelOf(options, store.tree(), ports.clock.wallMs());
  }

  async run(): Promise<BackupOutcome | "again"> {
    const store = this.#store;
    const place = placeOf(this.#wanted, store.tree());
    const failed = this.#makeRoom(place.level);
    if (failed !== null) return failed;
    const course = chooseCourse(store, this.#wanted, this.#ports);
    if ("text" in course) return { kind: "failed", text: course.text };
    const partial = store.beginRun();
    if (isFault(partial)) return { kind: "failed", text: partial.text };
    Object.assign(this.#ports.progress, emptyProgress());
    const task = { course, partial, room: this.#room, sources: this.#sources };
    const written = await carryOut(store, this.#options, this.#ports, task);
    if (written.kind === "fault") return this.#fault(written.fault, partial, course);
    if (written.kind === "failed") return written;
    this.#tellOfRoots(written);
    const node = store.commitRun(partial);
    if (isFault(node)) return { kind: "failed", text: node.text };
    const verification = await this.#verify(node);
    const marked = store.node(node.number) ?? node;
    return {
      kind: "done",
      node: marked,
      written,
      resumed: partial.resumed,
      pares: this.#pares,
      verification,
    };
  }

  /** A source of which nothing is taken is not what its operator meant; elsewhere it is expected. */
  #tellOfRoots({ notes }: Written): void {
    for (const { path, text } of notes)
      if (this.#sources.roots.some((root) => Buffer.compare(root, path) === 0))
        this.#ports.tell(`${pathLine(path)}: ${text}`);
  }

  /** Pares by age, and for what the backup will need. */
  #makeRoom(level: Level): BackupOutcome | null {
    const { clock, tell } = this.#ports;
    const bytes = Math.max(expectedBytes(level, this.#store.tree()), this.#neededBytes);
    const room = makeRoom(this.#store, {
      level,
      nowMs: clock.wallMs(),
      keepWeeklies: this.#options.keepWeeklies,
      bytes,
    });
    if (isFault(room)) {
      // Somebody reads: nothing is deleted now. The backup goes on while there is room.
      if (room.cause !== "locked") return { kind: "failed", text: room.text };
      tell(`nothing is pared now: ${room.text}`);
      return null;
    }
    for (const note of room.notes) tell(note);
    for (const pare of room.pares) {
      this.#pares.push(pare);
      const along =
        pare.dependants.length === 0 ? "" : `, with ${pare.dependants.join(", ")} that depend on it`;
      tell(`backup ${pare.number} (${pare.level}) is pared${along}, step ${pare.step}: ${pare.reason}`);
      if (pare.tellOperator) tell("only one backup ever fits: a larger store is wanted");
    }
    if (room.enough) return null;
    const lower = nextLower(level);
    const mayBeIncremental = lower !== null && placeOf(lower, this.#store.tree()).parent !== null;
    if (!mayBeIncremental) {
      if (this.#neededBytes === 0) return null; // only a guess: it may fit
      const deleted = this.#pares.some(({ byAge }) => !byAge)
        ? "more than was expected when room was made for it"
        : "nothing was deleted for it";
      const pinned = this.#store.tree().filter((node) => node.pinned).length;
      const pins = pinned === 0 ? "" : `; ${pinned} backups are pinned and stay (understudy pin --remove ID)`;
      return {
        kind: "failed",
        text: `${this.#store.directory}: the store is full: about ${formatBytes(bytes)} are wanted, and no paring makes that room${pins}; ${deleted}`,
      };
    }
    if (level !== this.#wanted) return null;
    tell(`ALARM: there is no room for a ${level} backup, and no paring makes it: a ${lower} is made instead`);
    this.#wanted = lower;
    this.#neededBytes = 0;
    return this.#makeRoom(lower);
  }

  async #fault(fault: WriteFault, partial: PartialRun, { level }: Course): Promise<BackupOutcome | "again"> {
    const store = this.#store;
    const gone = store.check();
    if (gone !== null) return { kind: "failed", text: gone.text };
    if (fault.kind !== "noSpace") return { kind: "failed", text: fault.text };
    const { bytesToRead, bytesRead } = this.#ports.progress;
    // What has been packed so far tells how much the rest will take.
    const ratio = bytesRead > 0 ? Math.min(1, sizeOf(partial.archivePath) / bytesRead) : 1;
    this.#neededBytes = Math.ceil(Math.max(0, bytesToRead - bytesRead) * ratio * 1.2) + 1024 * 1024;
    const before = this.#wanted;
    const failed = this.#makeRoom(level);
    if (failed === null && this.#wanted === before) {
      this.#neededBytes = 0;
      return "again";
    }
    // What was written is of no use to a smaller backup, and fills the store.
    const dropped = store.dropRun(partial);
    if (dropped !== null) return { kind: "failed", text: dropped.text };
    return failed ?? "again";
  }

  async #verify(node: BackupNode): Promise<VerificationOutcome | null> {
    const { verify, workers } = this.#options;
    const { spawn, progress, clock } = this.#ports;
    if (verify === null) return null;
    progress.phase = "verify";
    return await verifyAndMark(
      this.#store,
      node.number,
      { level: verify, cached: false, whole: false, workers },
      { spawn },
      () => clock.wallMs(),
    );
  }
}

const SLASH = 0x2f;

/** Is the root the store, or a part of it? Backups of backups would fill it. */
function isOfStore(root: Uint8Array, directory: string): boolean {
  const store = realpathSync(directory, { encoding: "buffer" }).subarray(1);
  return isWithin(root, root.length, store);
}

/** A disk that fails takes the files and their backups with it. */
function warnOfSharedDisk(store: string, roots: readonly Uint8Array[], tell: (note: string) => void): void {
  const { device } = identityOf(store);
  const shared = roots.find((root) => identityOf(Uint8Array.of(SLASH, ...root)).device === device);
  if (shared === undefined) return;
  tell(
    `the store ${store} and ${pathLine(shared)} are on the same file system: when that fails, both are gone`,
  );
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** "auto": what the plan wants now; where it wants nothing, a micro, since somebody asks. */
function levelOf({ level, schedule }: BackupOptions, tree: readonly BackupNode[], nowMs: number): Level {
  if (level !== "auto") return level;
  return due(schedule, tree, nowMs)?.level ?? "micro";
}

function chooseCourse(store: WritableStore, wanted: Level, ports: BackupPorts): Course | StoreFault {
  let nodes: readonly BackupNode[] = store.tree();
  for (;;) {
    const { level, parent } = placeOf(wanted, nodes);
    if (parent === null) {
      if (level !== wanted) ports.tell(`there is no backup that a ${wanted} could build on: a full is made`);
      return { level, parent: null, index: null };
    }
    const node = store.node(parent);
    const index = store.indexOf(parent);
    if (node !== null && !isFault(index)) return { level, parent: node, index };
    if (isFault(index) && index.cause === "gone") return index;
    ports.tell(`backup ${parent} cannot be a parent: ${isFault(index) ? index.text : "it is gone"}`);
    const marked = store.mark(parent, { verified: null });
    if (isFault(marked)) return marked;
    nodes = nodes.map((one): BackupNode => (one.number === parent ? { ...one, verified: false } : one));
  }
}

interface Task {
  readonly course: Course;
  readonly partial: PartialRun;
  readonly room: FrameRoom;
  readonly sources: Sources;
}

async function carryOut(
  store: WritableStore,
  options: BackupOptions,
  ports: BackupPorts,
  { course, partial, room, sources }: Task,
): Promise<RunOutcome> {
  const { level, parent, index } = course;
  const asDelta = parent !== null && level === "micro" && depthOf(store, parent) < DELTAS_MAX;
  const header: Omit<ArchiveHeader, "salt"> = {
    number: partial.number,
    level,
    parent: parent?.number ?? null,
    indexBase: asDelta ? (parent?.number ?? null) : null,
    computer: options.computer.name,
    machineId: options.computer.machineId,
    roots: allSources(sources).map(absolute),
    startedAtMs: ports.clock.wallMs(),
    software: options.software,
    codec: options.codec,
    store: store.identity.id,
    device: store.directory,
    selection: selectionNote(options.selection),
  };
  const opened = openPartial({
    ...partial,
    header,
    mayReferTo: chunksKeptFor(store, parent),
    room,
  });
  if (opened.kind !== "open") return opened;
  if (opened.salvagedFiles > 0)
    ports.tell(`an interrupted run is taken over: ${opened.salvagedFiles} files need not be read again`);
  try {
    return await runBackup(
      {
        partial: opened.partial,
        parent: index,
        asDelta,
        scan: scanRules(options.selection, sources.roots, [identityOf(store.directory)]),
        judging: {
          parentStartSeconds: parent === null ? 0 : parent.atMs / 1000,
          paranoid: options.paranoid,
          trustInode: options.trustInode,
          trustCtime: options.trustCtime,
        },
        missing: sources.missing,
        workers: options.workers,
        budgetBytes: budgetOf(store, opened.partial.space.tail),
      },
      { ...ports, room, names: readNames() },
    );
  } catch (error) {
    if (error instanceof ArchiveDamaged || error instanceof MalformedRecord) {
      return { kind: "failed", text: `the index of backup ${parent?.number} is damaged: ${error.message}` };
    }
    throw error;
  } finally {
    opened.close();
  }
}

/** How large the archive may become where the operator has set the store's size; null: as large as the disk. */
function budgetOf(store: WritableStore, tail: number): number | null {
  if (store.identity.capacityBytes === null) return null;
  const room = store.room();
  return isFault(room) ? null : tail + room.freeBytes;
}

/** Differences between a backup's index and the full one that it is based on. */
function depthOf(store: WritableStore, node: BackupNode): number {
  let depth = 0;
  let base = node.indexBase;
  while (base !== null) {
    depth++;
    const at: number = base;
    base = archiveOf(store, at)?.indexBase ?? null;
  }
  return depth;
}

/** A backup, or what a pared one left. */
function archiveOf(store: WritableStore, number: number): BackupNode | PackNode | null {
  return store.node(number) ?? store.packs().find((pack) => pack.number === number) ?? null;
}

/** Is a chunk kept for whoever descends from `parent`? Each archive is looked up once, however many chunks are asked about. */
function chunksKeptFor(
  store: WritableStore,
  parent: BackupNode | null,
): (pack: number, chunk: number) => boolean {
  const ancestors = new Set<number>();
  for (let at = parent?.number ?? null; at !== null; ) {
    const number: number = at;
    ancestors.add(number);
    at = archiveOf(store, number)?.recordedParent ?? null;
  }
  const needed = new Map<number, Uint8Array | null | StoreFault>();
  return (pack, chunk) => {
    if (!ancestors.has(pack)) return false;
    if (!needed.has(pack)) needed.set(pack, store.neededOf(pack));
    const bits = needed.get(pack) ?? null;
    return !isFault(bits) && isNeeded(bits, chunk);
  };
}

/** A source as the header names it. */
function absolute(path: Uint8Array): Uint8Array {
  const whole = new Uint8Array(path.length + 1);
  whole[0] = 0x2f;
  whole.set(path, 1);
  return whole;
}

/** For people who look at the archive later. */
function selectionNote({ sources: _, ...rules }: Selection): unknown {
  return rules;
}
