/** @module What every job with Workers needs: how one is made, and a way to wait until something was heard. */

/** Makes a Worker that runs what its first message says (its role). */
export type SpawnWorker = (name: string) => Worker;

/** Something changed: whoever waits looks again at what it waits for. Any number may wait. */
export class Change {
  #waiting: PromiseWithResolvers<void> | null = null;

  /** Resolves at the next `tell`. */
  next(): Promise<void> {
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  tell(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve();
  }
}
