/** @module The threads of a restore: batches out, answers in. Each has two batches at most, so that none waits for the
 *  main thread and none is far behind; without Workers the calling thread makes them itself. */
import type { Batch, BatchAnswer, MakerSetup } from "./batch.ts";
import { BatchMaker } from "./batch.ts";
import { Change, type SpawnWorker } from "../threads.ts";
import type { RestoreNotice, RestoreOrder, RestoreStart } from "./worker.ts";

const IN_FLIGHT_MAX = 2;

interface Thread {
  readonly worker: Worker;
  inFlight: number;
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

  /** Resolves once a thread has it, or will have it; the answer comes later. `isSmall`: done sooner than a Worker starts. */
  async give(batch: Batch, isSmall: boolean): Promise<void> {
    const spawn = this.#spawn;
    if (spawn === null) return this.#make(batch);
    if (this.#threads.length === 0) {
      if (isSmall && this.#held === null) {
        this.#held = batch;
        return;
      }
      this.#start(spawn);
      const held = this.#held;
      this.#held = null;
      if (held !== null) await this.#hand(held);
    }
    await this.#hand(batch);
  }

  #start(spawn: SpawnWorker): void {
    for (let thread = 0; thread < this.#count; thread++) {
      const worker = spawn(`restore ${thread + 1}`);
      const state: Thread = { worker, inFlight: 0 };
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

  async #hand(batch: Batch): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const idlest = this.#threads.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
      if (idlest.inFlight < IN_FLIGHT_MAX) {
        idlest.inFlight++;
        return idlest.worker.postMessage(batch);
      }
      await this.#change.next();
    }
  }

  #make(batch: Batch): void {
    this.#own ??= new BatchMaker({ ...this.#setup, thread: 0 });
    this.#answered(this.#own.make(batch));
  }

  /** Resolves when all answers are there. */
  async drain(): Promise<void> {
    if (this.#held !== null) this.#make(this.#held);
    this.#held = null;
    while (this.#threads.some((thread) => thread.inFlight > 0)) {
      if (this.#failure !== null) throw this.#failure;
      await this.#change.next();
    }
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
      this.#answered(notice);
    }
    this.#change.tell();
  }
}
