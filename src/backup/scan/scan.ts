/** @module The scan as whoever backs up sees it: one list of records in the order of comparePaths, though several
 *  Workers look at the tree at once.
 *
 *  (1) Jobs come back in pieces; each piece waits until all that is before it in the tree has been handed on. What waits
 *      is at most the tree's records (about 40 bytes an entry), which a run keeps anyway.
 *  (2) `hungry` counts the Workers that are idle and not yet promised a job: who gives a job away takes one from it.
 *  (3) A Worker that dies ends the scan with an error: a list with a gap would look like deleted files. */
import { assert } from "../../base/assert.ts";
import { Change } from "../threads.ts";
import { InnerMerge } from "./inner-merge.ts";
import {
  noCounters,
  type ScanCounters,
  type ScanJob,
  type ScanNotice,
  type ScanOrder,
  type ScanRemark,
  type ScanRules,
} from "./messages.ts";
import { isBelow } from "./walker.ts";

/** Errors and notes beyond this many are counted only. */
const REMARKS_MAX = 10_000;

/** A Worker that hears ScanOrders and answers with ScanNotices, or the port to one. */
export interface ScanPort {
  postMessage(order: ScanOrder): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  removeEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  removeEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
}

/** Not a result: what was handed on until then is no list of the tree. */
export class ScanFailure extends Error {
  override readonly name = "ScanFailure";
}

/** One job's records as they come: bytes, or the number of the job whose records stand here. */
interface JobRecords {
  readonly pieces: (Uint8Array | number)[];
  next: number;
  isDone: boolean;
}

export class Scan {
  /** Whole when the last batch has been handed on. */
  readonly counters: ScanCounters = noCounters();
  readonly errors: ScanRemark[] = [];
  readonly notes: ScanRemark[] = [];
  readonly #send: readonly ((order: ScanOrder) => void)[];
  readonly #hungry = new Int32Array(new SharedArrayBuffer(4));
  readonly #idle: number[] = [];
  readonly #queue: ScanJob[] = [];
  readonly #jobs = new Map<number, JobRecords>();
  /** Numbers of the sources' jobs: those that follow each other, and those that lie within one of them. */
  readonly #outer: number[] = [];
  readonly #inner: number[] = [];
  /** The jobs around the place that the list has come to. */
  readonly #around: JobRecords[] = [];
  #nextOuter = 0;
  #open = 0;
  #failure: string | null = null;
  readonly #change = new Change();

  /** Begins at once: `send` puts an order to one Worker; whatever that one says must come to `hear`. */
  constructor(rules: ScanRules, send: readonly ((order: ScanOrder) => void)[]) {
    assert(send.length > 0, "a scan without Workers");
    this.#send = send;
    const hungry = this.#hungry.buffer as SharedArrayBuffer;
    for (const [worker, order] of send.entries()) order({ type: "scanRules", rules, hungry, worker });
    for (const [root, path] of rules.roots.entries()) {
      const isInner = rules.roots.some((other) => isBelow(path, other));
      (isInner ? this.#inner : this.#outer).push(root);
      this.#expect({ id: root, root, rootDevice: -1, share: null });
    }
    for (let worker = 0; worker < send.length; worker++) this.#rest(worker);
  }

  hear(worker: number, notice: ScanNotice): void {
    switch (notice.type) {
      case "scanBatch":
        this.#records(notice.job).pieces.push(notice.records);
        break;
      case "scanSeam":
        this.#records(notice.job).pieces.push(notice.other);
        break;
      case "scanShare": {
        this.#expect(notice.job);
        const idle = this.#idle.pop();
        if (idle !== undefined) this.#start(idle);
        return;
      }
      case "scanError":
        if (this.errors.length < REMARKS_MAX) this.errors.push(notice.remark);
        return;
      case "scanNote":
        if (this.notes.length < REMARKS_MAX) this.notes.push(notice.remark);
        return;
      case "scanDone":
        this.#records(notice.job).isDone = true;
        this.#open--;
        this.#count(notice.counters);
        this.#rest(worker);
    }
    this.#change.tell();
  }

  /** A Worker is gone. */
  fail(text: string): void {
    this.#failure ??= text;
    this.#change.tell();
  }

  /** The list, once; a batch is the reader's own (RecordDecoder). Throws ScanFailure. */
  async *batches(): AsyncGenerator<Uint8Array, void, undefined> {
    const inner = this.#inner.length === 0 ? null : await this.#innerRecords();
    for (;;) {
      if (this.#failure !== null) throw new ScanFailure(this.#failure);
      const batch = this.#nextBatch();
      if (batch === "end") break;
      if (batch === "wait") await this.#change.next();
      else if (inner === null) yield batch;
      else yield* inner.take(batch);
    }
    if (inner !== null) yield* inner.finish();
  }

  /** All records of the sources that lie within others: they are few, or rare. */
  async #innerRecords(): Promise<InnerMerge> {
    while (this.#failure === null && this.#open > 0) await this.#change.next();
    return new InnerMerge(this.#inner.map((job) => this.#wholeJob(job)));
  }

  #wholeJob(job: number): Uint8Array[] {
    const records = this.#records(job);
    return records.pieces.flatMap((piece) => (typeof piece === "number" ? this.#wholeJob(piece) : [piece]));
  }

  #nextBatch(): Uint8Array | "wait" | "end" {
    for (;;) {
      const records = this.#around.at(-1);
      if (records === undefined) {
        const job = this.#outer[this.#nextOuter++];
        if (job === undefined) return "end";
        this.#around.push(this.#records(job));
        continue;
      }
      const piece = records.pieces[records.next];
      if (piece === undefined) {
        if (!records.isDone) return "wait";
        this.#around.pop();
        continue;
      }
      records.pieces[records.next++] = 0; // the list does not hold what it has handed on
      if (typeof piece !== "number") return piece;
      this.#around.push(this.#records(piece));
    }
  }

  #expect(job: ScanJob): void {
    this.#records(job.id);
    this.#open++;
    this.#queue.push(job);
  }

  #records(job: number): JobRecords {
    let records = this.#jobs.get(job);
    if (records === undefined) {
      records = { pieces: [], next: 0, isDone: false };
      this.#jobs.set(job, records);
    }
    return records;
  }

  /** This Worker has nothing to do. */
  #rest(worker: number): void {
    if (this.#queue.length > 0) {
      this.#start(worker);
      return;
    }
    this.#idle.push(worker);
    Atomics.add(this.#hungry, 0, 1);
  }

  #start(worker: number): void {
    const job = this.#queue.shift();
    assert(job !== undefined, "a scan job is missing");
    this.#send[worker]?.({ type: "scanJob", job });
  }

  #count(counters: ScanCounters): void {
    for (const key of Object.keys(counters) as (keyof ScanCounters)[]) this.counters[key] += counters[key];
  }
}

/** Scans with Workers that do nothing else meanwhile; they are left as they were found. */
export function scanTree(rules: ScanRules, ports: readonly ScanPort[]): Scan & { detach(): void } {
  const scan = new Scan(
    rules,
    ports.map((port) => (order) => port.postMessage(order)),
  );
  const detach = ports.map((port, worker) => {
    const onMessage = (event: MessageEvent) => scan.hear(worker, event.data as ScanNotice);
    const onError = (event: ErrorEvent) => scan.fail(event.message);
    port.addEventListener("message", onMessage);
    port.addEventListener("error", onError);
    return () => {
      port.removeEventListener("message", onMessage);
      port.removeEventListener("error", onError);
    };
  });
  return Object.assign(scan, {
    detach: () => {
      for (const end of detach) end();
    },
  });
}
