/** @module What the reading Workers are asked to do, a batch at a time, in the order of the tree. An entry of a job carries
 *  the content that it is expected to have (the parent's, or another path's of the same inode): where the bytes prove to
 *  be the same, nothing is stored. */
import { type Entry, KIND } from "../entry.ts";
import { RecordEncoder } from "../index/record.ts";

/** Bits of `Entry.flags` within a run only: they never reach an index. */
export const JOB_FLAG = {
  /** Expected content and extended attributes are this file's: it need not be looked at. */
  trusted: 0x100,
  /** In an answer: it was gone when it was to be read. */
  gone: 0x200,
  /** Metadata is as in the parent: different bytes are rot, not a change. */
  settled: 0x400,
  /** While it waits: the expected content is of the same path, size and time. */
  probable: 0x800,
} as const;
export const JOB_FLAGS = 0xf00;

/** 1: as the scan comes; 2: what may have been moved; 3: other names of what was gone under its first. */
export type Pass = 1 | 2 | 3;

export interface Job {
  /** 0, 1, ... within its pass. */
  readonly ordinal: number;
  readonly pass: Pass;
  /** Records of entries (RecordEncoder). */
  readonly records: Uint8Array;
}

const FILES_MAX = 256;
const BYTES_MAX = 4 * 1024 * 1024;

export class JobBuilder {
  readonly #encoder = new RecordEncoder();
  readonly #send: (job: Job) => void;
  readonly #pass: Pass;
  #files = 0;
  #bytes = 0;
  /** Jobs sent. */
  count = 0;

  constructor(pass: Pass, send: (job: Job) => void) {
    this.#pass = pass;
    this.#send = send;
  }

  /** `entry.flags` may carry JOB_FLAG.trusted or settled; its content is what is expected, of whatever size. */
  add(entry: Entry): void {
    this.#encoder.add(entry);
    this.#files++;
    if (entry.kind === KIND.file && (entry.flags & JOB_FLAG.trusted) === 0) this.#bytes += entry.sizeBytes;
    if (this.#files >= FILES_MAX || this.#bytes >= BYTES_MAX) this.flush();
  }

  flush(): void {
    if (this.#files === 0) return;
    this.#send({ ordinal: this.count++, pass: this.#pass, records: this.#encoder.take() });
    this.#encoder.reset();
    this.#files = 0;
    this.#bytes = 0;
  }
}
