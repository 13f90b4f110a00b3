/** @module The Workers of one run: jobs go in, answers are kept by pass and ordinal.
 *  (1) At most OUTSTANDING_MAX jobs wait in each Worker; `room` holds the survey back so that jobs do not pile up.
 *  (2) A Worker that dies, however it does, ends the run: `failed` says why, and every wait ends. */
import type { WriteFault } from "../archive/types.ts";
import type { ScanOrder, ScanRules } from "../scan/messages.ts";
import { Scan } from "../scan/scan.ts";
import { Change, type SpawnWorker } from "../threads.ts";
import type { Job, Pass } from "./jobs.ts";
import type { Complaint, Flushed, JobAnswer, ReaderAnswer, ReaderOrder, ReaderStart } from "./messages.ts";

const OUTSTANDING_MAX = 2;
const WAITING_MAX = 64;

interface Reader {
  readonly worker: Worker;
  outstanding: number;
}

export class ReaderPool {
  readonly first: Uint8Array[] = [];
  readonly second: Uint8Array[] = [];
  readonly third: Uint8Array[] = [];
  readonly complaints: Complaint[] = [];
  /** Files of several names that were gone under the name that was to be read: what Survey.rescue takes. */
  readonly strayed = new Set<string>();
  fault: WriteFault | null = null;
  /** A Worker is gone. */
  failed: string | null = null;
  readonly #readers: Reader[];
  readonly #change = new Change();
  readonly #queue: Job[] = [];
  readonly #flushed: Flushed[] = [];
  readonly #onAnswer: (answer: JobAnswer) => void;
  #scan: Scan | null = null;
  #closed = 0;
  #ended = false;

  /** `onAnswer` sees each answer as it comes. */
  constructor(count: number, spawn: SpawnWorker, start: ReaderStart, onAnswer: (answer: JobAnswer) => void) {
    this.#onAnswer = onAnswer;
    this.#readers = Array.from({ length: count }, (_, index) => {
      const name = `backup reader ${index + 1}`;
      const reader: Reader = { worker: spawn(name), outstanding: 0 };
      reader.worker.onmessage = (event: MessageEvent) => this.#hear(reader, event.data as ReaderAnswer);
      reader.worker.addEventListener("error", (event: ErrorEvent) => this.#fail(event.message));
      reader.worker.addEventListener("close", () => this.#fail(`${name} ended before its work was done`));
      reader.worker.postMessage(start);
      return reader;
    });
  }

  /** The Workers scan before they read: both are the same work for the same cores. */
  scan(rules: ScanRules): Scan {
    const send = this.#readers.map((reader) => (order: ScanOrder) => this.#order(reader, order));
    this.#scan = new Scan(rules, send);
    return this.#scan;
  }

  submit(job: Job): void {
    this.#queue.push(job);
    this.#feed();
  }

  /** Resolves when more jobs may come, or when it is over. */
  async room(): Promise<void> {
    while (this.#queue.length > WAITING_MAX && this.#goesOn) await this.#change.next();
  }

  /** Resolves when every job is answered, or when it is over. More may be submitted then. */
  async answered(): Promise<void> {
    const isBusy = () => this.#queue.length > 0 || this.#readers.some(({ outstanding }) => outstanding > 0);
    while (this.#goesOn && isBusy()) await this.#change.next();
  }

  /** Resolves when every job is answered and every chunk written. */
  async drain(): Promise<readonly Flushed[]> {
    await this.answered();
    for (const reader of this.#readers) this.#order(reader, { type: "flush" });
    while (this.failed === null && this.#flushed.length < this.#readers.length) await this.#change.next();
    return this.#flushed;
  }

  /** Nothing more is read: every wait ends. */
  stop(text: string): void {
    this.#fail(text);
  }

  /** The Workers close what they have open first: a Worker that is terminated leaves its descriptors behind, and with them
   *  the room of an archive that is thrown away. One that is stopped in the midst of its work is not waited for. */
  async end(): Promise<void> {
    for (const reader of this.#readers) this.#order(reader, { type: "close" });
    while (this.failed === null && this.#closed < this.#readers.length) await this.#change.next();
    this.#ended = true;
    for (const { worker } of this.#readers) worker.terminate();
  }

  get #goesOn(): boolean {
    return this.failed === null && this.fault === null;
  }

  #order(reader: Reader, order: ReaderOrder): void {
    if (order.type === "job") reader.worker.postMessage(order, [order.job.records.buffer as ArrayBuffer]);
    else reader.worker.postMessage(order);
  }

  #feed(): void {
    for (let outstanding = 0; outstanding < OUTSTANDING_MAX; outstanding++) {
      for (const reader of this.#readers) {
        if (reader.outstanding > outstanding || this.fault !== null) continue;
        const job = this.#queue.shift();
        if (job === undefined) return;
        reader.outstanding++;
        this.#order(reader, { type: "job", job });
      }
    }
  }

  #hear(reader: Reader, answer: ReaderAnswer): void {
    switch (answer.type) {
      case "ready":
        return;
      case "scanBatch":
      case "scanSeam":
      case "scanShare":
      case "scanError":
      case "scanNote":
      case "scanDone":
        this.#scan?.hear(this.#readers.indexOf(reader), answer);
        return;
      case "failed":
        this.#fail(answer.text);
        return;
      case "closed":
        this.#closed++;
        break;
      case "flushed":
        this.fault ??= answer.fault;
        this.#flushed.push(answer);
        break;
      case "answer": {
        reader.outstanding--;
        this.fault ??= answer.fault;
        this.#listOf(answer.pass)[answer.ordinal] = answer.records;
        for (const complaint of answer.complaints) this.complaints.push(complaint);
        for (const key of answer.strayed) this.strayed.add(key);
        if (answer.fault === null) this.#onAnswer(answer);
        this.#feed();
      }
    }
    this.#change.tell();
  }

  #listOf(pass: Pass): Uint8Array[] {
    return pass === 1 ? this.first : pass === 2 ? this.second : this.third;
  }

  #fail(text: string): void {
    if (this.#ended) return;
    this.failed ??= text;
    this.#scan?.fail(text);
    this.#change.tell();
  }
}
