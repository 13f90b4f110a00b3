/** @module What an archive file tells and what can go wrong with one, as values. */
import type { Level } from "../../plan/tree.ts";
import type { CodecName } from "../codec/codec.ts";

export type BackupLevel = Level;

/** Written when a run begins; a run that takes a partial archive over writes its own, with the old salt. */
export interface ArchiveHeader {
  /** Backup number, from 1; its chunks are known by it as their pack. */
  readonly number: number;
  readonly level: BackupLevel;
  readonly parent: number | null;
  /** The backup whose index this one's is a difference to; null: this index is full. */
  readonly indexBase: number | null;
  readonly computer: string;
  readonly machineId: string;
  /** Absolute source paths with their leading slash, any bytes. */
  readonly roots: readonly Uint8Array[];
  readonly startedAtMs: number;
  /** Name and version of the program. */
  readonly software: string;
  readonly codec: CodecName;
  /** Identity of the store. */
  readonly store: string;
  /** What the store calls its device, for people. */
  readonly device: string;
  /** Random, of this file alone: its frames are known by it. */
  readonly salt: bigint;
  /** What was selected, as JSON, for people and for the next run; absent: unknown. */
  readonly selection?: unknown;
}

/** A section of frames. */
export interface Section {
  readonly offset: number;
  readonly bytes: number;
  readonly frames: number;
}

export interface ArchiveFooter {
  readonly number: number;
  readonly salt: bigint;
  readonly table: Section;
  readonly index: Section;
  readonly extra: Section;
  readonly entries: number;
  /** Chunk numbers given out: rows of the table. */
  readonly chunks: number;
  readonly files: number;
  /** Of the data chunks: before and after compression, without frame headers. */
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly finishedAtMs: number;
  /** SHA-256 of header block, chunk table, index and extra (plain bytes of their frames one after the other). */
  readonly root: Uint8Array;
}

/** Names, counts and complaints that belong to a backup but to none of its entries. */
export interface ArchiveExtra {
  readonly users: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly errors: readonly { readonly path: Uint8Array; readonly text: string }[];
}

/** Where a chunk lies. */
export interface ChunkRow {
  /** Of its frame header. */
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly hash: bigint;
}

/** Bytes are not what was written. */
export interface Damaged {
  readonly kind: "damaged";
  readonly text: string;
}

/** The device or the file system refused. */
export interface NoSpace {
  readonly kind: "noSpace";
  readonly text: string;
}
export interface IoError {
  readonly kind: "ioError";
  /** Positive. */
  readonly errno: number;
  readonly text: string;
}

/** Why an archive cannot be opened. `incomplete`: it ends before its footer, so it never was committed whole. */
export type OpenFault =
  | Damaged
  | IoError
  | { readonly kind: "foreign"; readonly text: string }
  | { readonly kind: "unknownVersion"; readonly version: number; readonly text: string }
  | { readonly kind: "incomplete"; readonly text: string };

export type ReadFault = Damaged | IoError;
export type WriteFault = NoSpace | IoError;

/** A chunk's frame is in the file. */
export interface ChunkWritten {
  readonly kind: "written";
  readonly chunk: number;
  readonly storedBytes: number;
}

/** Thrown by the ports that INDEX reads through, where a page turns out damaged or unreadable: its callers' doors
 *  catch it. */
export class ArchiveDamaged extends Error {
  override readonly name = "ArchiveDamaged";
  readonly fault: ReadFault;

  constructor(fault: ReadFault) {
    super(fault.text);
    this.fault = fault;
  }
}
