/** @module What a run and its reading Workers say to each other. Bytes go by transfer: they are never copied. */
import type { WriteFault } from "../archive/types.ts";
import type { CodecName } from "../codec/codec.ts";
import type { ScanNotice, ScanOrder } from "../scan/messages.ts";
import type { Job, Pass } from "./jobs.ts";

/** The first message to a Worker. */
export interface ReaderStart {
  readonly role: "backupReader";
  readonly archivePath: string;
  /** Number of the backup that is being made. */
  readonly pack: number;
  readonly codec: CodecName;
  readonly salt: bigint;
  /** The archive's tail and the next chunk's number, for all Workers. */
  readonly shared: SharedArrayBuffer;
}

export type ReaderOrder =
  | ScanOrder
  | { readonly type: "job"; readonly job: Job }
  /** Write out the open chunk. */
  | { readonly type: "flush" }
  /** Close every descriptor: nothing more comes. */
  | { readonly type: "close" };

export interface Complaint {
  readonly path: Uint8Array;
  readonly text: string;
}

export interface JobAnswer {
  readonly type: "answer";
  readonly ordinal: number;
  readonly pass: Pass;
  /** The job's entries in their order, as they were found. */
  readonly records: Uint8Array;
  readonly files: number;
  readonly readBytes: number;
  readonly complaints: readonly Complaint[];
  /** Keys (`linkKey`) of files of several names that the name to be read does not lead to any more. */
  readonly strayed: readonly string[];
  /** The archive cannot be written: what this and later answers say of new content does not count. */
  readonly fault: WriteFault | null;
}

export interface Flushed {
  readonly type: "flushed";
  /** For ArchiveFinisher.addRows and abandon. */
  readonly rows: Uint8Array;
  readonly abandoned: readonly number[];
  readonly fault: WriteFault | null;
}

export type ReaderAnswer =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly text: string }
  | JobAnswer
  | Flushed
  | { readonly type: "closed" }
  | ScanNotice;
