/** @module Time is passed in. `nowMs` never goes backwards and means nothing outside the process; `wallMs` is for people. */

export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Milliseconds since 1970 (UTC). */
  wallMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** A clock that stands still until it is told to go on: for tests and the simulator. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #originMs: number;

  constructor(nowMs = 0, originMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = nowMs;
    this.#originMs = originMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#originMs + this.#nowMs;
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
  }
}
