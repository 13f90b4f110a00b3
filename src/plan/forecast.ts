/** @module When a store is full, from what its backups stored, and how large one should be (TREE-17).
 *  (1) Measured, not guessed: the rate is what was stored, less what pares freed, over the time that it took.
 *  (2) The first full says nothing of the rate: it is there once. Fewer than two later points, or less than a day: no
 *      forecast. (3) The rule of the seed (55): a device of 1.5 x the primary. */

const DAY_MS = 24 * 60 * 60 * 1000;
/** Below this, one busy hour would speak for a month. */
export const SPAN_MIN_MS = DAY_MS;
/** Device to primary, as a fraction of whole numbers: 1.5. */
const RULE = { times: 3, over: 2 } as const;

/** A backup as it was made. */
export interface Stored {
  /** Counts from 1: the order, whatever the clock showed. */
  readonly number: number;
  readonly atMs: number;
  /** Stored by it. */
  readonly bytes: number;
  /** By the pares before it. */
  readonly freedBytes: number;
}

export type Forecast =
  /** Too little is known. */
  | { readonly kind: "unknown"; readonly why: string }
  /** The store does not grow: paring keeps pace. */
  | { readonly kind: "steady"; readonly bytesPerDay: number }
  | { readonly kind: "full"; readonly bytesPerDay: number; readonly atMs: number };

/** When the free bytes are used up if it goes on as in `history` (in any order); by then paring for space begins. */
export function forecast(history: readonly Stored[], freeBytes: number, nowMs: number): Forecast {
  const inOrder = [...history].sort((a, b) => a.number - b.number);
  const [first, ...later] = inOrder;
  const last = later.at(-1);
  if (first === undefined || last === undefined || later.length < 2) {
    return { kind: "unknown", why: "fewer than three backups" };
  }
  const spanMs = last.atMs - first.atMs;
  if (spanMs < SPAN_MIN_MS) return { kind: "unknown", why: "less than a day of backups" };
  let grownBytes = 0;
  for (const { bytes, freedBytes } of later) grownBytes += bytes - freedBytes;
  const bytesPerDay = (grownBytes / spanMs) * DAY_MS;
  if (bytesPerDay <= 0) return { kind: "steady", bytesPerDay };
  const daysLeft = Math.max(0, freeBytes) / bytesPerDay;
  return { kind: "full", bytesPerDay, atMs: nowMs + daysLeft * DAY_MS };
}

export interface Advice {
  readonly isEnough: boolean;
  /** By the rule, rounded up. */
  readonly wantedBytes: number;
  readonly text: string;
}

/** Is a device of this capacity enough for a primary of that size? Figures in bytes. */
export function capacityAdvice(primaryBytes: number, capacityBytes: number): Advice {
  const wantedBytes = Math.ceil((primaryBytes * RULE.times) / RULE.over);
  const isEnough = capacityBytes >= wantedBytes;
  if (isEnough) return { isEnough, wantedBytes, text: "the device has 1.5 times the primary's size or more" };
  const text =
    capacityBytes < primaryBytes
      ? "the device is smaller than the primary: not even one full backup may fit"
      : "the device has less than 1.5 times the primary's size: old backups will go early";
  return { isEnough, wantedBytes, text };
}
