/** @module What the reading Workers are asked to do, a batch at a time, in the order of the tree. An entry of a job carries
 *  the content that it is expected to have (the parent's, or another path's of the same inode): where the bytes prove to
 *  be the same, nothing is stored. */
import { type Entry, KIND } from "../entry.ts";
import { RecordEncoder } from "../index/record.ts";

/** Bits of `Entry.flags` within a run only: they never reach an index. */
export const JOB_FLAG = {
  /** The expected content is this file's: it need not be read. */
  trusted: 0x100,
  /** In an answer: it was gone when it was to be read. */
  gone: 0x200,
  /** Metadata is as in the parent: different bytes are rot, not a change. */
  settled: 0x400,
} as const;
export const JOB_FLAGS = 0xf00;

export interface Job {
  /** 0, 1, ... within its pass. */
  readonly ordinal: number;
  readonly pass: 1 | 2;
  /** Records of entries (RecordEncoder). */
  readonly records: Uint8Array;
}

const FILES_MAX = 256;
const BYTES_MAX = 4 * 1024 * 1024;

export class JobBuilder {
  readonly #encoder = new RecordEncoder();
  readonly #send: (job: Job) => void;
  readonly #pass: 1 | 2;
  #files = 0;
  #bytes = 0;
  /** Jobs sent. */
  count = 0;

  constructor(pass: 1 | 2, send: (job: Job) => void) {
    this.#pass = pass;
    this.#send = send;
  }

  /** `entry.flags` may carry JOB_FLAG.trusted or settled; its content is what is expected. */
  add(entry: Entry): void {
    this.#encoder.add(entry);
    this.#files++;
    if (entry.kind === KIND.file) this.#bytes += entry.sizeBytes;
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
