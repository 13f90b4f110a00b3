/** @module The threads of a restore: batches out, answers in. Without Workers the calling thread makes them itself.
 *  (1) A thread has two batches at most, so that none waits for the main thread, and nothing behind a large file.
 *  (2) Large files go first, so that in the end no thread is alone with one: the queue lets the main thread find them
 *      before their turn. */
import type { Batch, BatchAnswer, MakerSetup } from "./batch.ts";
import { BatchMaker } from "./batch.ts";
import { Change, type SpawnWorker } from "../threads.ts";
import type { RestoreNotice, RestoreOrder, RestoreStart } from "./worker.ts";

const IN_FLIGHT_MAX = 2;
/** Batches of some MiB of content each; their records are some KiB. */
const QUEUE_MAX = 64;

interface Thread {
  readonly worker: Worker;
  inFlight: number;
  /** It has a large file. */
  isBusy: boolean;
}

interface Queued {
  readonly batch: Batch;
  readonly isLarge: boolean;
}

export class Pool {
  readonly #setup: Omit<MakerSetup, "thread">;
  readonly #count: number;
  readonly #spawn: SpawnWorker | null;
  readonly #threads: Thread[] = [];
  readonly #answered: (answer: BatchAnswer) => void;
  /** The calling thread's own. */
  #own: BatchMaker | null = null;
  /** The first batch of all, if it is small: it may stay the only one. */
  #held: Batch | null = null;
  readonly #large: Queued[] = [];
  readonly #small: Queued[] = [];
  readonly #change = new Change();
  #failure: Error | null = null;
  #closed = 0;

  /** `spawn` null: no Workers. */
  constructor(
    setup: Omit<MakerSetup, "thread">,
    count: number,
    spawn: SpawnWorker | null,
    answered: (answer: BatchAnswer) => void,
  ) {
    this.#setup = setup;
    this.#count = count;
    this.#spawn = count === 0 ? null : spawn;
    this.#answered = answered;
  }

  /** Resolves when there is room for the next; the answer comes later. `isLarge`: it takes longer than a Worker takes to
   *  start. */
  async give(batch: Batch, isLarge: boolean): Promise<void> {
    const spawn = this.#spawn;
    if (spawn === null) return this.#make(batch);
    if (this.#threads.length === 0) {
      if (!isLarge && this.#held === null) {
        this.#held = batch;
        return;
      }
      this.#start(spawn);
      if (this.#held !== null) this.#small.push({ batch: this.#held, isLarge: false });
      this.#held = null;
    }
    (isLarge ? this.#large : this.#small).push({ batch, isLarge });
    this.#feed();
    while (this.#large.length + this.#small.length > QUEUE_MAX) await this.#next();
  }

  #start(spawn: SpawnWorker): void {
    for (let thread = 0; thread < this.#count; thread++) {
      const worker = spawn(`restore ${thread + 1}`);
      const state: Thread = { worker, inFlight: 0, isBusy: false };
      worker.onmessage = (event: MessageEvent) => this.#hear(state, event.data as RestoreNotice);
      worker.addEventListener("error", (event: ErrorEvent) => {
        this.#failure = new Error(`a Worker of the restore failed: ${event.message}`);
        this.#change.tell();
      });
      const start: RestoreStart = { role: "restore", ...this.#setup, thread };
      worker.postMessage(start);
      this.#threads.push(state);
    }
  }

  #feed(): void {
    for (;;) {
      const idlest = this.#threads.reduce((a, b) => (roomOf(b) > roomOf(a) ? b : a));
      // While a large file waits, nobody gets anything else: soon one has nothing, and takes it.
      const queue = this.#large.length > 0 ? this.#large : this.#small;
      if (roomOf(idlest) < (queue === this.#large ? IN_FLIGHT_MAX : 1)) return;
      const next = queue.shift();
      if (next === undefined) return;
      idlest.inFlight++;
      if (next.isLarge) idlest.isBusy = true;
      idlest.worker.postMessage(next.batch);
    }
  }

  /** Resolves at the next answer; throws when a Worker is gone. */
  async #next(): Promise<void> {
    if (this.#failure === null) await this.#change.next();
    if (this.#failure !== null) throw this.#failure;
  }

  #make(batch: Batch): void {
    this.#own ??= new BatchMaker({ ...this.#setup, thread: 0 });
    this.#answered(this.#own.make(batch));
  }

  /** Resolves when all answers are there. */
  async drain(): Promise<void> {
    if (this.#held !== null) this.#make(this.#held);
    this.#held = null;
    while (this.#threads.some((thread) => thread.inFlight > 0)) await this.#next();
  }

  async close(): Promise<void> {
    this.#own?.close();
    for (const { worker } of this.#threads) worker.postMessage({ kind: "close" } satisfies RestoreOrder);
    while (this.#closed < this.#threads.length && this.#failure === null) await this.#change.next();
    for (const { worker } of this.#threads) worker.terminate();
  }

  #hear(thread: Thread, notice: RestoreNotice): void {
    if (notice.kind === "closed") this.#closed++;
    else {
      thread.inFlight--;
      if (thread.inFlight === 0) thread.isBusy = false;
      this.#answered(notice);
      this.#feed();
    }
    this.#change.tell();
  }
}

/** Batches that a thread can take: none beside a large file. */
function roomOf(thread: Thread): number {
  return thread.isBusy ? 0 : IN_FLIGHT_MAX - thread.inFlight;
}
