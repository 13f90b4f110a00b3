/** @module The bytes of a simulated store.
 *
 *  In every interval of one micro, `changeBytes` (c) at new places change, in turn around data of `fullBytes` (F). Count
 *  changed bytes without end: at tick t, t*c were changed, and the live data is the window (t*c - F, t*c].
 *  ```
 *  a full at t stores                 (t*c - F, t*c]
 *  an incremental, parent at tp,      (max(tp*c, t*c - F), t*c]      what changed since then, at most a full
 *  of a pack (low, high] is needed    (max(low, o*c - F), high]      o: tick of the oldest living backup that reads it
 *  ```
 *  (1) A backup reads its own pack and those of the parents that it was made with, up to its full.
 *  (2) Paring is folding: the backup goes, its pack stays as far as a living one reads it. So it may free nothing now,
 *      and a later pare of an heir more than the heir stored.
 *  (3) `usedBytes` is the sum of what is needed. What is removed can be put back until `settle`. */
import { assert, present } from "../base/assert.ts";

interface Pack {
  readonly number: number;
  readonly tick: number;
  readonly lowBytes: number;
  /** With which it was made; never changes. */
  readonly parent: Pack | null;
  readonly heirs: Pack[];
  isLiving: boolean;
  /** Of the living ones that read it; infinite: none. */
  oldestTick: number;
  neededBytes: number;
}

interface Before {
  readonly pack: Pack;
  readonly isLiving: boolean;
  readonly oldestTick: number;
  readonly neededBytes: number;
}

export class Packs {
  readonly #fullBytes: number;
  readonly #changeBytes: number;
  readonly #living = new Map<number, Pack>();
  readonly #undo: Before[] = [];
  #usedBytes = 0;

  constructor(fullBytes: number, changeBytes: number) {
    this.#fullBytes = fullBytes;
    // More than everything cannot change.
    this.#changeBytes = Math.min(changeBytes, fullBytes);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  isLiving(number: number): boolean {
    return this.#living.get(number)?.isLiving === true;
  }

  /** What a new backup at `tick` stores; `parent`: number of a living one, null for a full. */
  bytesOf(parent: number | null, tick: number): number {
    if (parent === null) return this.#fullBytes;
    return Math.min(this.#fullBytes, (tick - this.#pack(parent).tick) * this.#changeBytes);
  }

  store(number: number, parent: number | null, tick: number): void {
    assert(this.#undo.length === 0, "what was removed is settled before the next backup is stored");
    const bytes = this.bytesOf(parent, tick);
    const pack: Pack = {
      number,
      tick,
      lowBytes: tick * this.#changeBytes - bytes,
      parent: parent === null ? null : this.#pack(parent),
      heirs: [],
      isLiving: true,
      oldestTick: tick,
      neededBytes: bytes,
    };
    pack.parent?.heirs.push(pack);
    this.#living.set(number, pack);
    this.#usedBytes += bytes;
  }

  /** Bytes that come free. */
  remove(number: number): number {
    const before = this.#usedBytes;
    const victim = this.#pack(number);
    this.#note(victim);
    victim.isLiving = false;
    for (let pack: Pack | null = victim; pack !== null; pack = pack.parent) {
      const oldestTick = pack.isLiving ? pack.tick : oldestOf(pack.heirs);
      if (oldestTick === pack.oldestTick) break;
      if (pack !== victim) this.#note(pack);
      pack.oldestTick = oldestTick;
      this.#usedBytes -= pack.neededBytes;
      pack.neededBytes = this.#neededOf(pack);
      this.#usedBytes += pack.neededBytes;
    }
    return before - this.#usedBytes;
  }

  /** What was removed since the last `settle` is back. */
  putBack(): void {
    for (let last = this.#undo.pop(); last !== undefined; last = this.#undo.pop()) {
      const { pack, isLiving, oldestTick, neededBytes } = last;
      this.#usedBytes += neededBytes - pack.neededBytes;
      pack.isLiving = isLiving;
      pack.oldestTick = oldestTick;
      pack.neededBytes = neededBytes;
    }
  }

  /** What was removed is gone for good. */
  settle(): void {
    for (const { pack } of this.#undo) {
      if (!pack.isLiving) this.#living.delete(pack.number);
      if (pack.oldestTick !== Number.POSITIVE_INFINITY || pack.parent === null) continue;
      const { heirs } = pack.parent;
      const at = heirs.indexOf(pack);
      if (at >= 0) heirs.splice(at, 1);
    }
    this.#undo.length = 0;
  }

  #pack(number: number): Pack {
    const pack = present(this.#living.get(number), `backup ${number}`);
    assert(pack.isLiving, `backup ${number} was pared`);
    return pack;
  }

  #note(pack: Pack): void {
    const { isLiving, oldestTick, neededBytes } = pack;
    this.#undo.push({ pack, isLiving, oldestTick, neededBytes });
  }

  #neededOf({ tick, lowBytes, oldestTick }: Pack): number {
    if (oldestTick === Number.POSITIVE_INFINITY) return 0;
    const highBytes = tick * this.#changeBytes;
    const fromBytes = Math.max(lowBytes, oldestTick * this.#changeBytes - this.#fullBytes);
    return Math.max(0, highBytes - fromBytes);
  }
}

function oldestOf(packs: readonly Pack[]): number {
  let oldest = Number.POSITIVE_INFINITY;
  for (const { oldestTick } of packs) oldest = Math.min(oldest, oldestTick);
  return oldest;
}
