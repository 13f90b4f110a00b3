/** @module Batches of entries on their way to a thread that makes them, and what it answers. */
import { Entry, KIND } from "../entry.ts";
import { RecordDecoder } from "../index/record.ts";
import { Attributes } from "./attributes.ts";
import { PackChunks } from "./chunks.ts";
import { ContentWriter } from "./content.ts";
import { type Issue, type IssueCounts, IssueList } from "./issues.ts";
import { Maker } from "./maker.ts";
import type { OverwritePolicy } from "./policy.ts";
import { type Mount, Target } from "./target.ts";

/** Apart, so that threads do not write to the same cache line. */
export const PROGRESS_BYTES = 128;

/** What a thread must know before its first batch. Maps are lists of pairs. */
export interface MakerSetup {
  readonly mounts: readonly Mount[];
  readonly packs: readonly (readonly [number, string])[];
  readonly users: readonly (readonly [number, number])[];
  readonly groups: readonly (readonly [number, number])[];
  readonly policy: OverwritePolicy;
  readonly paranoid: boolean;
  /** Issues of a kind that are named, of each thread. */
  readonly issuesKeptMax: number;
  /** PROGRESS_BYTES a thread; first two Float64: files and bytes so far, for the progress line. */
  readonly progress: SharedArrayBuffer;
  /** One word, shared: not 0 once all are to stop. */
  readonly stop: Int32Array;
  readonly thread: number;
}

export interface Batch {
  readonly kind: "batch";
  readonly id: number;
  /** Records (RecordEncoder) of files, links and special files, in order. */
  readonly records: Uint8Array;
}

export interface BatchAnswer {
  readonly kind: "made";
  readonly id: number;
  readonly thread: number;
  readonly made: number;
  readonly same: number;
  readonly kept: number;
  /** Bytes of content written. */
  readonly bytes: number;
  /** Numbers within the batch of entries that are not as in the backup now, each with why. */
  readonly notDone: readonly number[];
  readonly issues: readonly Issue[];
  /** All of this thread so far. */
  readonly issueCounts: IssueCounts;
  /** It was told to stop before the end of the batch. */
  readonly stopped: boolean;
  /** -errno that ends the restore; 0: none. */
  readonly fatal: number;
}

export class BatchMaker {
  readonly #chunks: PackChunks;
  readonly #target: Target;
  readonly #maker: Maker;
  readonly #issues: IssueList;
  readonly #entry = new Entry();
  readonly #decoder = new RecordDecoder();
  readonly #progress: Float64Array;
  readonly #thread: number;
  readonly #stop: Int32Array;

  constructor(setup: MakerSetup) {
    this.#thread = setup.thread;
    this.#stop = setup.stop;
    const progress = new Float64Array(setup.progress, setup.thread * PROGRESS_BYTES, 2);
    this.#progress = progress;
    this.#issues = new IssueList(setup.issuesKeptMax);
    this.#chunks = new PackChunks(new Map(setup.packs));
    this.#target = new Target(setup.mounts);
    const issues = this.#issues;
    const identities = { users: new Map(setup.users), groups: new Map(setup.groups) };
    const content = new ContentWriter(this.#chunks, (bytes) => {
      progress[1] = (progress[1] as number) + bytes;
      return Atomics.load(setup.stop, 0) === 0;
    });
    this.#maker = new Maker({
      target: this.#target,
      content,
      attributes: new Attributes(identities, (entry, text) => issues.addOf("attribute", entry, text)),
      policy: setup.policy,
      paranoid: setup.paranoid,
      issue: issues.addOf,
    });
  }

  make(batch: Batch): BatchAnswer {
    const entry = this.#entry;
    const progress = this.#progress;
    const notDone: number[] = [];
    let made = 0;
    let same = 0;
    let kept = 0;
    let bytes = 0;
    this.#decoder.open(batch.records);
    // Another thread may have put a directory in the place of something since the last batch.
    this.#target.forget();
    let stopped = false;
    for (let number = 0; this.#decoder.next(entry); number++) {
      stopped = this.#stops;
      if (stopped) break;
      const before = progress[1] as number;
      switch (this.#maker.make(entry)) {
        case "made":
          made++;
          if (entry.kind === KIND.file) bytes += entry.sizeBytes;
          break;
        case "same":
          same++;
          break;
        case "kept":
          kept++;
          notDone.push(number);
          break;
        case "not":
          notDone.push(number);
      }
      progress[0] = (progress[0] as number) + 1;
      if (entry.kind === KIND.file) progress[1] = before + entry.sizeBytes;
    }
    return {
      kind: "made",
      id: batch.id,
      thread: this.#thread,
      made,
      same,
      kept,
      bytes,
      notDone,
      issues: this.#issues.take(),
      issueCounts: { ...this.#issues.counts },
      stopped: stopped || this.#maker.stopped,
      fatal: this.#maker.fatal,
    };
  }

  get #stops(): boolean {
    return this.#maker.fatal !== 0 || Atomics.load(this.#stop, 0) !== 0;
  }

  close(): void {
    this.#target.forget();
    this.#chunks.close();
  }
}
