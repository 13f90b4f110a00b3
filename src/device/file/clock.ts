/** @module The clock of a file drive: it waits by blocking its thread, as a drive's own call does. */
import { libc } from "../../base/ffi.ts";
import type { DriveClock } from "./pace.ts";

const SLEEP_MS_MAX = 1000;

/** Waits (blocking). */
export function sleepBlocking(durationMs: number): void {
  for (let restMs = durationMs; restMs > 0; restMs -= SLEEP_MS_MAX) {
    libc.usleep(Math.ceil(Math.min(restMs, SLEEP_MS_MAX) * 1000));
  }
}

/** Milliseconds since 1970, but monotonic: the same scale in every thread of the process. */
export const driveClock: DriveClock = {
  nowMs: () => performance.timeOrigin + performance.now(),
  sleepMs: sleepBlocking,
};

/** Time that passes only when somebody waits, or by `advance`: for tests. */
export class ManualDriveClock implements DriveClock {
  #nowMs: number;
  /** All waiting so far. */
  sleptMs = 0;

  constructor(nowMs = 1) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  sleepMs(durationMs: number): void {
    this.sleptMs += durationMs;
    this.#nowMs += durationMs;
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
  }
}
