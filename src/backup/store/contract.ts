/** @module The port of a store: where the archives of one backup tree lie, whatever carries them.
 *  (1) What the medium holds is the truth: backups, packs (pared, still needed by heirs), marks, one unfinished run.
 *      Everything else, the catalog too, is derived and can be made again from it.
 *  (2) Reading needs no lock and writes nothing; writing is for one process at a time.
 *  (3) A number is never used twice. A backup is there when `commitRun` returned, and not before; it is a parent only
 *      once it is marked as verified.
 *  (4) A backup's content is found through its header's parents, of which some may be packs; its parent in the tree
 *      (`parent`) is the nearest of them that is still a backup.
 *  (5) Nothing here throws for what the world does: a StoreFault says what, where, and what to do. */
import type { Level, Node } from "../../plan/tree.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import type { Index } from "../index/lookup.ts";
import type { MendedIndex } from "../index/mended.ts";
import type { Family } from "./family.ts";
import type { ChunkUses } from "./uses.ts";

/** "gone": the disk was there and is not any more. "foreign": another computer's, to be accepted first.
 *  "newer": a later format. "locked": another process has it. "full": no room. */
export type StoreFaultCause =
  | "notAStore"
  | "gone"
  | "foreign"
  | "newer"
  | "locked"
  | "readOnly"
  | "full"
  | "damaged"
  | "unknown"
  | "io";

export interface StoreFault {
  readonly kind: "fault";
  readonly cause: StoreFaultCause;
  /** One line: what, where, what to do. */
  readonly text: string;
  /** It was told before: nothing to say again (a disk that is gone). */
  readonly repeated?: true;
}

/** The computer whose backups these are; `machineId` as /etc/machine-id, or the name where there is none. */
export interface Computer {
  readonly name: string;
  readonly machineId: string;
}

export interface StoreIdentity {
  /** A UUID, made by `init`, in every archive's header. */
  readonly id: string;
  readonly createdMs: number;
  /** Those that may write here; the first one made it. */
  readonly computers: readonly Computer[];
  /** What the store may take up, as its operator said; null: all of its file system. */
  readonly capacityBytes: number | null;
}

/** "quick": the small header before each file's data; "full": every byte. */
export const VERIFY_LEVELS = ["quick", "full"] as const;
export type VerifyLevel = (typeof VERIFY_LEVELS)[number];

/** What is known of a backup beside its archive; may change after it was committed. */
export interface Marks {
  readonly verified: { readonly atMs: number; readonly level: VerifyLevel } | null;
  readonly pinned: boolean;
}

/** A committed backup that has not been pared. `parent` is the one in effect (4); `verified`: at either level. */
export interface BackupNode extends Node {
  /** The parent that its header names, which may have become a pack. */
  readonly recordedParent: number | null;
  /** The backup that its index is a difference to; null: its index is full. */
  readonly indexBase: number | null;
  readonly finishedMs: number;
  readonly marks: Marks;
  /** What its archive takes up on the medium. */
  readonly storedBytes: number;
  /** Bytes of content that this backup added, before compression. */
  readonly plainBytes: number;
  readonly entries: number;
  readonly chunks: number;
}

/** What a pared backup left for its heirs. */
export interface PackNode {
  readonly number: number;
  readonly level: Level;
  readonly recordedParent: number | null;
  readonly indexBase: number | null;
  readonly storedBytes: number;
}

/** An unfinished run. It protects nothing that it refers to: whoever takes it over trusts its journal's references to
 *  other packs only where `node(parent)` is still a backup. */
export interface PartialRun {
  readonly number: number;
  readonly archivePath: string;
  readonly journalPath: string;
  /** The files were there already. */
  readonly resumed: boolean;
}

export interface Room {
  /** What a run may still write: of the file system, and of `capacityBytes` where that is set. Below zero: the store takes
   *  up more than it may. */
  readonly freeBytes: number;
  /** What the store takes up. */
  readonly usedBytes: number;
  /** What it may take up in all. */
  readonly capacityBytes: number;
}

export interface ReadableStore {
  readonly kind: "store";
  readonly directory: string;
  readonly identity: StoreIdentity;
  readonly writable: boolean;
  /** What its operator should hear, once: damaged archives that the tree leaves out, whose store it is. */
  readonly notes: readonly string[];
  /** Ascending by number; all of them complete. The same list until something changes. */
  tree(): readonly BackupNode[];
  packs(): readonly PackNode[];
  node(number: number): BackupNode | null;
  /** Where the archive of a backup or a pack lies; null: there is neither. */
  archivePath(number: number): string | null;
  /** An opened archive, backup or pack; the store keeps the ones used last and closes them. */
  readerOf(number: number): ArchiveReader | StoreFault;
  /** The index of a backup, its base indexes looked up in packs too. */
  indexOf(number: number): Index | StoreFault;
  /** The same as far as it can be read, with its gaps: for restoring. */
  mendedIndexOf(number: number): MendedIndex | StoreFault;
  /** Chunks of `pack` that some backup needs, as a bitmap by chunk number (bit n & 7 of byte n >> 3); null: all. */
  neededOf(pack: number): Uint8Array | null | StoreFault;
  /** Archives that cannot be read, by number: what they need is not known. */
  broken(): ReadonlyMap<number, string>;
  /** A copy. */
  family(): Family;
  /** Which chunks a backup needs, of its own archive and of others. */
  usesOf(number: number): ChunkUses | StoreFault;
  room(): Room | StoreFault;
  /** Looks whether the disk is still there and still the same; a fault "gone" is told once, by whoever asks first. */
  check(): StoreFault | null;
  /** Reads the directory again. */
  refresh(): StoreFault | null;
  close(): void;
}

export interface WritableStore extends ReadableStore {
  readonly writable: true;
  /** The unfinished run that is there, or a new one with the next number. */
  beginRun(): PartialRun | StoreFault;
  /** The archive is whole and synced: makes it a backup (rename, sync of the directories), removes the journal. */
  commitRun(run: PartialRun): BackupNode | StoreFault;
  /** Throws an unfinished run away. */
  dropRun(run: PartialRun): StoreFault | null;
  /** Replaces a backup's marks, durably. */
  mark(number: number, change: Partial<Marks>): BackupNode | StoreFault;
  setCapacity(capacityBytes: number | null): StoreFault | null;
}

/** What pruning needs besides: it takes bytes away, and nobody else does. */
export interface PrunableStore extends WritableStore {
  readonly hook: StepHook;
  /** Runs while nobody reads; a fault where somebody does. */
  alone<T>(act: () => T): T | StoreFault;
  /** The backup becomes a pack: its date goes, its marks with it. */
  retire(number: number): StoreFault | null;
  /** A pack that nobody needs goes. */
  remove(number: number): StoreFault | null;
  /** Bytes were taken away from a pack. */
  punched(number: number): StoreFault | null;
  /** Gives the reserve back to a full disk; false: there is none. */
  makeRoom(): boolean;
}

/** Faults to order, for tests: called with the name of each step before it is done; may throw or end the process. */
export type StepHook = (step: string) => void;

export const NO_HOOK: StepHook = () => {};

export interface OpenRequest {
  readonly directory: string;
  readonly computer: Computer;
  /** For reading: no lock, nothing written. */
  readonly write: boolean;
  /** Write to another computer's store, and remember that. */
  readonly acceptOtherComputer?: boolean;
  readonly hook?: StepHook;
}

export interface InitRequest {
  readonly directory: string;
  readonly computer: Computer;
  /** null: as it is, which at first is all of its file system; 0: all of it again. */
  readonly capacityBytes: number | null;
  readonly nowMs: number;
}

export function isFault(value: unknown): value is StoreFault {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "fault";
}

export function storeFault(cause: StoreFaultCause, text: string): StoreFault {
  return { kind: "fault", cause, text };
}
