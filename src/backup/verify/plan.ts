/** @module What a verification has to look at, as arrays that Workers share: chunks ("units") in the order in which they
 *  lie in their files, and per chunk the pieces of files in it ("items"). Files of which the content lies in more than one
 *  chunk are "strings": their SHA-256 needs the chunks in the file's own order.
 *  (1) A unit is read once: by the string that owns it, else with its neighbours, a batch at a time. (The last piece of a
 *      large file shares its chunk with others: strings beyond the first read it once more.)
 *  (2) Nothing here is as long as a path: who is damaged is told by ordinals in the index. */
import { assert } from "../../base/assert.ts";

/** Float64 numbers of a unit. `gapEnd`: what follows the frame is zero up to there; 0: nobody asks. */
export const UNIT = { archive: 0, offset: 1, number: 2, storedBytes: 3, plainBytes: 4, gapEnd: 5 } as const;
export const UNIT_NUMBERS = 6;

/** Uint32 words of an item. */
export const ITEM = { offset: 0, bytes: 1, ordinal: 2, head: 3, string: 4, sha: 5 } as const;
export const ITEM_WORDS = 13;

/** Upper half of an item's `head`; the lower one is the path's hash. */
export const ITEM_FLAG = {
  /** The small header names the path. */
  path: 0x10000,
  /** `sha` is the SHA-256 of [offset, offset + bytes). */
  sha: 0x20000,
  /** The first two words of `sha` are the xxHash3 of them. */
  piece: 0x40000,
  /** `sha` is the SHA-256 of the string's runs and holes, all of them in this chunk. */
  runs: 0x80000,
} as const;

/** Float64 numbers of a string and of each of its spans (unit -1: a hole). */
export const STRING = { ordinal: 0, spanFrom: 1, spanCount: 2, bytes: 3 } as const;
export const STRING_NUMBERS = 4;
export const SPAN = { unit: 0, offset: 1, bytes: 2 } as const;
export const SPAN_NUMBERS = 3;

export interface PlanArchive {
  readonly pack: number;
  readonly path: string;
  readonly salt: bigint;
}

/** May be posted to Workers as it is. */
export interface VerifyPlan {
  readonly archives: readonly PlanArchive[];
  readonly units: Float64Array;
  readonly unitHashes: BigUint64Array;
  /** Items of unit u: those that itemOrder has in [itemsFrom[u], itemsFrom[u + 1]). */
  readonly itemsFrom: Uint32Array;
  readonly itemOrder: Uint32Array;
  readonly items: Uint32Array;
  readonly strings: Float64Array;
  readonly stringHashes: Uint8Array;
  readonly spans: Float64Array;
  /** Strings to be checked as such, largest first. */
  readonly stringOrder: Uint32Array;
  /** String that owns the unit, or -1. */
  readonly owners: Int32Array;
  /** Units of batch b: [batches[b], batches[b + 1]), of which those without an owner and, in a quick check, without
   *  items are passed over. */
  readonly batches: Uint32Array;
  /** Only units with items are read, and no gaps. */
  readonly quick: boolean;
  /** Read what is in memory; else what is on the device. */
  readonly cached: boolean;
  /** Int32: [next batch, next string, stop, plain KiB done]. */
  readonly counters: Int32Array;
}

export const COUNTER = { batch: 0, string: 1, stop: 2, plainKib: 3 } as const;

/** Numbers in shared memory that grow. */
export class Growing<T extends Uint32Array | Float64Array> {
  array: T;
  length = 0;
  readonly #type: new (
    buffer: SharedArrayBuffer,
  ) => T;

  constructor(type: new (buffer: SharedArrayBuffer) => T, capacity: number) {
    this.#type = type;
    this.array = new type(new SharedArrayBuffer(capacity * 8));
  }

  /** Index of `count` new numbers, which are zero. */
  more(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.array.length) {
      const bytes = Math.max(this.length * 8, this.array.byteLength * 2);
      const larger = new this.#type(new SharedArrayBuffer(bytes));
      larger.set(this.array);
      this.array = larger;
    }
    return at;
  }
}

export function sharedWords(count: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(count * 4));
}

/** Items in the order of their units, and where each unit's begin. */
export function orderItems(
  unitOfItem: Int32Array,
  units: number,
): { itemOrder: Uint32Array; itemsFrom: Uint32Array } {
  const itemsFrom = sharedWords(units + 1);
  for (const unit of unitOfItem) {
    assert(unit >= 0 && unit < units, "an item has a unit");
    itemsFrom[unit + 1] = (itemsFrom[unit + 1] as number) + 1;
  }
  for (let unit = 0; unit < units; unit++)
    itemsFrom[unit + 1] = (itemsFrom[unit + 1] as number) + (itemsFrom[unit] as number);
  const itemOrder = sharedWords(unitOfItem.length);
  const next = itemsFrom.slice();
  for (let item = 0; item < unitOfItem.length; item++) {
    const unit = unitOfItem[item] as number;
    const place = next[unit] as number;
    itemOrder[place] = item;
    next[unit] = place + 1;
  }
  return { itemOrder, itemsFrom };
}
