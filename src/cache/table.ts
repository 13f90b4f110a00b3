/** @module Which strips of which member may be believed, in shared memory: written by the cache Worker, read by every
 *  thread that reads the array (wasm/stripe/layout.ts, MEMBER_*). */

import { CACHE_IOVECS, CACHE_IOVECS_BYTES } from "../../wasm/ring/layout.ts";
import {
  MEMBER_GOOD_BEFORE,
  MEMBER_GOOD_FROM,
  MEMBER_LINE_BYTES,
  MEMBER_REBUILT_SLOTS,
  MEMBER_REPLACEMENTS,
  MEMBER_TABLE_BYTES,
} from "../../wasm/stripe/layout.ts";
import type { SharedMemory } from "../base/memory.ts";

const TABLE = CACHE_IOVECS + CACHE_IOVECS_BYTES - MEMBER_TABLE_BYTES;

export class MemberTable {
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;

  constructor(shared: SharedMemory) {
    this.#words = shared.words;
    this.#numbers = new Float64Array(shared.memory.buffer, TABLE, MEMBER_TABLE_BYTES / 8);
  }

  /** May the member's strip of the stripe at `stripeJ` (slot `slot`) be believed? */
  isGood(member: number, stripeJ: number, slot: number): boolean {
    return (
      stripeJ < this.#get(member, MEMBER_GOOD_BEFORE) &&
      (stripeJ >= this.#get(member, MEMBER_GOOD_FROM) || slot < this.#get(member, MEMBER_REBUILT_SLOTS))
    );
  }

  set(member: number, goodFromJ: number, goodBeforeJ: number, rebuiltSlots: number): void {
    // Believed less first: a reader between the stores may only reconstruct without need.
    this.#put(member, MEMBER_REBUILT_SLOTS, rebuiltSlots);
    this.#put(member, MEMBER_GOOD_FROM, goodFromJ);
    this.#put(member, MEMBER_GOOD_BEFORE, goodBeforeJ);
  }

  setGoodBefore(member: number, J: number): void {
    this.#put(member, MEMBER_GOOD_BEFORE, J);
  }

  setRebuilt(member: number, slots: number): void {
    this.#put(member, MEMBER_REBUILT_SLOTS, slots);
  }

  replacements(member: number): number {
    return Atomics.load(this.#words, this.#replacementsAt(member));
  }

  countReplacement(member: number): number {
    return Atomics.add(this.#words, this.#replacementsAt(member), 1) + 1;
  }

  #replacementsAt(member: number): number {
    return (TABLE + member * MEMBER_LINE_BYTES + MEMBER_REPLACEMENTS) / 4;
  }

  #get(member: number, at: number): number {
    return this.#numbers[(member * MEMBER_LINE_BYTES + at) / 8] ?? 0;
  }

  #put(member: number, at: number, value: number): void {
    this.#numbers[(member * MEMBER_LINE_BYTES + at) / 8] = value;
  }
}
