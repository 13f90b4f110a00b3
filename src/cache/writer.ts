/** @module The cache Worker's loop, one step at a time: the journal's first reader.
 *
 *  (1) Only whole stripes are written, each once, in order: CACHED is always at a stripe's start (rule 9).
 *  (2) The head never passes CHECKPOINT + cacheBytes: what is not on tape is not overwritten (rule 10).
 *  (3) CHECKPOINT <= ON_TAPE, and it moves only after the checkpoint is durable. Both go back together when an image
 *      begins anew on another cartridge (`restartFrom`).
 *  (4) DURABLE moves only after fdatasync returned on every surviving member.
 *  (5) When the array is lost no cursor moves any more: nothing is called cached that is not. The ring's other side
 *      sees CACHE_LOST and goes on with tape only.
 *
 *  The Worker around it sleeps when there is nothing to do and wakes others: this class only decides and writes.
 */

import {
  CACHE_WRITTEN_BYTES,
  CACHED,
  CHECKPOINT,
  DURABLE,
  ON_TAPE,
  RECEIVED,
  WANT_DURABLE,
} from "../../wasm/ring/layout.ts";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import type { CacheArray, CheckpointPlace } from "./array.ts";

const CHECKPOINT_EVERY_BYTES = 64 * MIB;

/** Cursors of the ring (wasm/ring): journal offsets as numbers. */
export interface Cursors {
  get(at: number): number;
  set(at: number, value: number): void;
}

/** Fills in the next entry that is not on tape; false: the drive's Worker is changing it just now, ask again.
 *  `J` must be an entry's start and `sequence` that entry's number, as one pair. */
export type TapePlace = (into: { -readonly [K in keyof CheckpointPlace]: CheckpointPlace[K] }) => boolean;

export interface WriterStep {
  /** Nothing to do until RECEIVED reaches this; Infinity: only ON_TAPE (no room) or an order can bring work.
   *  WANT_DURABLE brings work too, whenever it is raised: the front wakes the Worker then. */
  readonly waitFor: number;
}

export interface CacheWriterOptions {
  readonly array: CacheArray;
  readonly cursors: Cursors;
  readonly tapePlace: TapePlace;
  /** Bytes written so far, for people: an f64 in the control page. */
  readonly figures?: Float64Array;
}

export class CacheWriter {
  readonly #array: CacheArray;
  readonly #cursors: Cursors;
  readonly #tapePlace: TapePlace;
  readonly #figures: Float64Array | undefined;
  readonly #checkpointEveryBytes: number;
  readonly #place = { J: 0, sequence: 0, image: 0, position: 0 };
  readonly #idle = { waitFor: 0 };
  #checkpointAsked = false;

  /** CACHED and DURABLE begin at `startJ`, CHECKPOINT where the array's checkpoint is (or at `startJ` in a new one). */
  constructor(options: CacheWriterOptions, startJ: number) {
    this.#array = options.array;
    this.#cursors = options.cursors;
    this.#tapePlace = options.tapePlace;
    this.#figures = options.figures;
    const { cacheBytes } = options.array.geometry;
    this.#checkpointEveryBytes = Math.min(CHECKPOINT_EVERY_BYTES, cacheBytes / 8);
    const checkpointJ = options.array.readCheckpoint()?.J ?? startJ;
    const lost = options.array.state === "lost";
    assert(lost || startJ - checkpointJ <= cacheBytes, "the head stands past what the checkpoint protects");
    if (!lost) options.array.startAt(startJ);
    this.#cursors.set(CACHED, startJ);
    this.#cursors.set(DURABLE, startJ);
    this.#cursors.set(CHECKPOINT, checkpointJ);
  }

  /** The next step writes a checkpoint (orderly stop, end of recovery, change of image). */
  askCheckpoint(): void {
    this.#checkpointAsked = true;
  }

  /** JSON that goes into the next checkpoint, which is asked for hereby. */
  setImageIdentity(identity: string): void {
    this.#array.setImageIdentity(identity);
    this.#checkpointAsked = true;
  }

  /** Writes a checkpoint now. false: the tape's place is just being changed (ask again), or the array is lost. */
  checkpointNow(): boolean {
    this.#checkpointAsked = true;
    return this.#writeCheckpoint(this.#cursors.get(CHECKPOINT)) && this.#array.state !== "lost";
  }

  /** 620, 631: the whole image from `place` on is to go to another cartridge; nothing of it may be overwritten until it is
   *  there. Only while no drive follows. false: the members do not hold all of it, or the array is lost. */
  restartFrom(place: CheckpointPlace): boolean {
    const { cacheBytes } = this.#array.geometry;
    const received = this.#cursors.get(RECEIVED);
    if (this.#array.state === "lost" || place.J > received || received - place.J > cacheBytes) return false;
    if (!this.#array.writeCheckpoint(place)) return false;
    this.#cursors.set(DURABLE, this.#array.durableJ);
    this.#cursors.set(CHECKPOINT, place.J);
    return true;
  }

  /** Orderly stop: writes every whole stripe there is room for, then what the tape has reached, durably.
   *  A rebuild stays where it is and begins again at the next start. */
  finish(): void {
    while (this.#writeStripes() === "worked");
    if (!this.checkpointNow() && this.#array.sync()) this.#cursors.set(DURABLE, this.#array.durableJ);
  }

  /** Does one piece of work: a barrier's sync first, then a checkpoint that is due, then stripes, then a slice of a
   *  rebuild. The result object is the same every time. */
  step(): "worked" | WriterStep {
    const { stripeBytes, cacheBytes } = this.#array.geometry;
    if (this.#array.state === "lost") return this.#wait(Number.POSITIVE_INFINITY);
    const cached = this.#cursors.get(CACHED);
    const checkpoint = this.#cursors.get(CHECKPOINT);
    const wantDurable = this.#cursors.get(WANT_DURABLE);
    const durable = this.#cursors.get(DURABLE);
    if (
      wantDurable > durable &&
      cached > durable &&
      cached >= Math.min(wantDurable, durable + cacheBytes / 8)
    ) {
      if (this.#array.sync()) this.#cursors.set(DURABLE, this.#array.durableJ);
      return "worked";
    }
    const room = Math.floor((checkpoint + cacheBytes - cached) / stripeBytes);
    const tapeMoved = this.#cursors.get(ON_TAPE) - checkpoint;
    const due = tapeMoved >= this.#checkpointEveryBytes || (room <= 0 && tapeMoved > 0);
    if ((due || this.#checkpointAsked) && this.#writeCheckpoint(checkpoint)) return "worked";
    if (this.#writeStripes() === "worked") {
      // One slice between stripes, so that a rebuild ends even under full load.
      this.#array.rebuildStep();
      return "worked";
    }
    if (this.#array.rebuildStep() === "worked") return "worked";
    return this.#wait(room > 0 ? cached + stripeBytes : Number.POSITIVE_INFINITY);
  }

  /** One call's worth of whole stripes, as far as they are received and there is room for them. */
  #writeStripes(): "worked" | "idle" {
    const { stripeBytes, cacheBytes, ringBytes, stripesMax } = this.#array.geometry;
    if (this.#array.state === "lost") return "idle";
    const cached = this.#cursors.get(CACHED);
    const room = Math.floor((this.#cursors.get(CHECKPOINT) + cacheBytes - cached) / stripeBytes);
    const whole = Math.floor((this.#cursors.get(RECEIVED) - cached) / stripeBytes);
    const toRingEnd = (ringBytes - (cached % ringBytes)) / stripeBytes;
    const stripes = Math.min(whole, room, toRingEnd, stripesMax);
    if (stripes <= 0) return "idle";
    if (this.#array.writeStripes(cached, stripes)) {
      this.#cursors.set(CACHED, cached + stripes * stripeBytes);
      this.#count(stripes * stripeBytes);
    }
    return "worked";
  }

  #wait(J: number): WriterStep {
    this.#idle.waitFor = J;
    return this.#idle;
  }

  /** false: there was no place to be had, or none worth writing down. */
  #writeCheckpoint(checkpointJ: number): boolean {
    if (!this.#tapePlace(this.#place)) return false;
    if (this.#place.J < checkpointJ || (this.#place.J === checkpointJ && !this.#checkpointAsked))
      return false;
    this.#checkpointAsked = false;
    if (this.#array.writeCheckpoint(this.#place)) {
      this.#cursors.set(DURABLE, this.#array.durableJ);
      this.#cursors.set(CHECKPOINT, this.#place.J);
    }
    return true;
  }

  #count(bytes: number): void {
    const figures = this.#figures;
    if (figures !== undefined)
      figures[CACHE_WRITTEN_BYTES / 8] = (figures[CACHE_WRITTEN_BYTES / 8] ?? 0) + bytes;
  }
}
