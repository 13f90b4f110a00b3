/** @module The watch over drives that hang: a call that does not come back is given up long before the host's timer runs out.
 *
 *  (1) What a hung call may still read stays untouched in the ring until its Worker says that the call has come back
 *      (rule 8): the front jumps it lap after lap (wasm/ring).
 *  (2) A follower that was given up moves no mark any more (FOLLOW_EPOCH). */
import * as at from "../../wasm/ring/layout.ts";
import type { DriveId } from "../base/brands.ts";
import type { DeviceMemory } from "../director/tee/device-memory.ts";

/** Of the ring; more is never left out: the largest place must still fit. */
const PINNED_MAX = 1 / 4;

export class HangWatch {
  private readonly pinned = new Map<DriveId, { readonly from: number; readonly to: number }>();

  constructor(private readonly memory: DeviceMemory) {}

  /** For how long the drive's call has hung beyond what is allowed, 0: it has not. What it reads is pinned then. */
  look(drive: DriveId, nowMs: number): number {
    const { memory } = this;
    const sinceMs = memory.figure(at.DRIVE_CALL_SINCE_MS);
    const limitMs = memory.figure(at.DRIVE_CALL_LIMIT_MS);
    if (sinceMs === 0 || limitMs === 0 || nowMs - sinceMs <= limitMs) return 0;
    if (memory.word(at.FOLLOWER) === at.FOLLOWER_RING) {
      // TAKEN stands at the entry that the call is at, and keeps it until the reader is demoted.
      const entryAt = memory.inRing(memory.get(at.TAKEN));
      const from = entryAt - at.RING;
      if (memory.get(at.TAKEN) < memory.get(at.RECEIVED))
        this.pinned.set(drive, { from, to: from + memory.ring.field64(entryAt + at.ENTRY_BYTES_AT) });
      this.pin();
    }
    return nowMs - sinceMs;
  }

  /** The drive's Worker is out of the call. */
  ended(drive: DriveId): void {
    if (this.pinned.delete(drive)) this.pin();
  }

  /** Whatever a call of the drive that is given up comes back with, it moves no mark any more. */
  giveUp(): void {
    const { memory } = this;
    memory.setWord(at.FOLLOW_EPOCH, memory.word(at.FOLLOW_EPOCH) + 1);
    memory.setFigure(at.DRIVE_CALL_SINCE_MS, 0);
  }

  /** The front jumps one range: from the first to the last byte that a hung call may read. */
  private pin(): void {
    const { memory } = this;
    const ranges = [...this.pinned.values()];
    const from = Math.min(...ranges.map((range) => range.from));
    const to = Math.max(...ranges.map((range) => range.to));
    memory.set(at.HUNG_BYTES, 0);
    if (ranges.length === 0 || to - from > memory.ringBytes * PINNED_MAX) return;
    memory.set(at.HUNG_AT, from);
    memory.set(at.HUNG_BYTES, to - from);
  }
}
