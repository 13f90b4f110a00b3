/** @module What is asked of a verification, and what it says. */
import type { EntrySource } from "../entry.ts";
import type { VerifyLevel } from "../store/contract.ts";
import type { VerifyPlan } from "./plan.ts";

/** `quick`: header, footer, chunk table, index, and the small header in front of each file's data (TREE-08).
 *  `full`: also every chunk's hash, each file's SHA-256, and that nothing else is in the file. */
export type { VerifyLevel };

export interface VerifyRequest {
  readonly level: VerifyLevel;
  readonly archivePath: string;
  /** A fresh cursor over the backup's index; may throw ArchiveDamaged or MalformedRecord, from `next` too. */
  readonly entries: () => EntrySource;
  /** Also what the backup needs of other archives: where a pack lies (null: it is not there). Left out: this archive
   *  alone; of a file that other archives hold a part of, the pieces that are here. */
  readonly archivePathOf?: (pack: number) => string | null;
  /** Read what the page cache holds; default: past it, from the device. */
  readonly cached?: boolean;
  readonly threads?: VerifyThreads;
  /** Called a few times a second; `done` and `total` in plain bytes. */
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Who does the reading. */
export interface VerifyThreads {
  readonly count: number;
  /** Runs `runVerifyShare(start)` on a thread of its own; called `count` times. */
  run(start: VerifyStart): Promise<ShareFindings>;
}

/** What a Worker is told. */
export interface VerifyStart {
  readonly role: "verify";
  readonly plan: VerifyPlan;
}

/** What a Worker answers. */
export interface ShareFindings {
  readonly type: "verified";
  /** Damaged units and why, in words. */
  readonly units: readonly { readonly unit: number; readonly text: string }[];
  /** Files that are not what they were, though their chunks are whole. */
  readonly files: readonly { readonly ordinal: number; readonly text: string }[];
  /** What belongs to no file: rubbish between frames, a file that cannot be read. */
  readonly others: readonly string[];
  readonly chunks: number;
  readonly plainBytes: number;
  readonly filesChecked: number;
}

export interface DamagedFile {
  /** As in Entry. */
  readonly path: Uint8Array;
  readonly text: string;
}

export interface VerifyReport {
  readonly kind: "verified";
  readonly level: VerifyLevel;
  /** Nothing is wrong. */
  readonly ok: boolean;
  /** Given up because the signal said so: `ok` says nothing. */
  readonly stopped: boolean;
  /** Damage outside of chunks, in words: header, footer, table, index, extra, rubbish. */
  readonly damage: readonly string[];
  readonly damagedChunks: readonly { readonly pack: number; readonly chunk: number; readonly text: string }[];
  /** At most FILES_NAMED_MAX of them. */
  readonly damagedFiles: readonly DamagedFile[];
  readonly damagedFileCount: number;
  /** What was looked at. */
  readonly files: number;
  readonly chunks: number;
  readonly plainBytes: number;
}

export const FILES_NAMED_MAX = 10_000;
