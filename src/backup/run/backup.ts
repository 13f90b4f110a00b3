/** @module A backup as its operator means it: the store is opened, the level and the parent are chosen, room is made, the
 *  run is carried out, committed, verified and marked.
 *
 *  (1) Parents are chosen after paring, and are verified ones; a parent whose index cannot be read loses its mark, and the
 *      next best is taken: one damaged backup does not end all later ones.
 *  (2) Paring is planned whole before the first deletion. Where it cannot make room for a full, an incremental is made.
 *  (3) What was committed stays committed, whatever its verification says: it is listed, but is nobody's parent. */
import type { Clock } from "../../base/clock.ts";
import { AT_FDCWD, CPath, Statx } from "../../base/files.ts";
import { due, type ScheduleSettings } from "../../plan/schedule.ts";
import { type Level, placeOf } from "../../plan/tree.ts";
import { ArchiveDamaged, type ArchiveHeader } from "../archive/types.ts";
import { createFrameRoom, type FrameRoom } from "../archive/workspace.ts";
import type { CodecName } from "../codec/codec.ts";
import type { Entry } from "../entry.ts";
import type { Index } from "../index/lookup.ts";
import { MalformedRecord } from "../index/record.ts";
import type { DirectoryIdentity } from "../scan/messages.ts";
import { readNames } from "../scan/names.ts";
import { resolveRoots, type Selection, scanRules } from "../scan/selection.ts";
import {
  type BackupNode,
  isFault,
  type PartialRun,
  type StoreFault,
  type WritableStore,
} from "../store/contract.ts";
import type { Reason } from "./judge.ts";
import { openPartial } from "./partial.ts";
import type { SpawnWorker } from "./pool.ts";
import { runBackup, type RunOutcome, type RunProgress, type Written } from "./run.ts";

export interface BackupOptions {
  readonly level: Level | "auto";
  readonly schedule: ScheduleSettings;
  readonly selection: Selection;
  readonly codec: CodecName;
  readonly paranoid: boolean;
  readonly trustInode: boolean;
  readonly trustCtime: boolean;
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
}

export interface BackupDone {
  readonly kind: "done";
  readonly node: BackupNode;
  readonly written: Written;
  readonly resumed: boolean;
}

export type BackupOutcome = BackupDone | { readonly kind: "failed"; readonly text: string };

/** Longest chain of differences that an index is read through. */
const DELTAS_MAX = 100;

/** What a run is to be: decided anew for each try. */
interface Course {
  readonly level: Level;
  readonly parent: BackupNode | null;
  readonly index: Index | null;
}

export async function makeBackup(
  store: WritableStore,
  options: BackupOptions,
  ports: BackupPorts,
): Promise<BackupOutcome> {
  const roots = resolveRoots(options.selection.sources);
  if (roots.kind === "missing") {
    const source = Buffer.from(roots.source).toString();
    return { kind: "failed", text: `${source}: cannot be backed up: ${roots.text}` };
  }
  const room = createFrameRoom();
  const course = chooseCourse(store, levelOf(options, store.tree(), ports.clock.wallMs()), ports);
  if ("text" in course) return { kind: "failed", text: course.text };
  const partial = store.beginRun();
  if (isFault(partial)) return { kind: "failed", text: partial.text };
  const outcome = await carryOut(store, options, ports, { course, partial, room, roots: roots.roots });
  if (outcome.kind !== "written") {
    return { kind: "failed", text: outcome.kind === "failed" ? outcome.text : outcome.fault.text };
  }
  const node = store.commitRun(partial);
  if (isFault(node)) return { kind: "failed", text: node.text };
  return { kind: "done", node, written: outcome, resumed: partial.resumed };
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
  readonly roots: readonly Uint8Array[];
}

async function carryOut(
  store: WritableStore,
  options: BackupOptions,
  ports: BackupPorts,
  { course, partial, room, roots }: Task,
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
    roots: roots.map(absolute),
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
    mayReferTo: (pack, chunk) => mayReferTo(store, parent, pack, chunk),
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
        scan: scanRules(options.selection, roots, [identityOf(store.directory)]),
        judging: {
          parentStartSeconds: parent === null ? 0 : parent.atMs / 1000,
          paranoid: options.paranoid,
          trustInode: options.trustInode,
          trustCtime: options.trustCtime,
        },
        workers: options.workers,
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

/** Differences between a backup's index and the full one that it is based on. */
function depthOf(store: WritableStore, node: BackupNode): number {
  let depth = 0;
  let base = node.indexBase;
  while (base !== null) {
    depth++;
    const at: number = base;
    base = store.node(at)?.indexBase ?? store.packs().find(({ number }) => number === at)?.indexBase ?? null;
  }
  return depth;
}

/** Is the chunk kept for whoever descends from `parent`? */
function mayReferTo(store: WritableStore, parent: BackupNode | null, pack: number, chunk: number): boolean {
  for (let at = parent?.number ?? null; at !== null; ) {
    const number: number = at;
    const node = store.node(number);
    if (number === pack) {
      if (node !== null) return true;
      const needed = store.neededOf(pack);
      return needed === null || (!isFault(needed) && ((needed[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0);
    }
    at = (node ?? store.packs().find((one) => one.number === number))?.recordedParent ?? null;
  }
  return false;
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

/** The store leaves itself out. */
function identityOf(directory: string): DirectoryIdentity {
  const statx = new Statx();
  statx.at(AT_FDCWD, new CPath().text(directory), 0);
  return { device: statx.device, inodeHigh: statx.inodeHigh, inodeLow: statx.inodeLow };
}
