/** @module Bytes a second over the last few seconds, from the counters that the Workers keep. */
import * as at from "../../wasm/ring/layout.ts";
import type { DeviceMemory } from "../director/tee/device-memory.ts";

const WINDOW_MS = 2000;
const COUNTERS = [at.HOST_BYTES, at.CACHE_WRITTEN_BYTES, at.DRIVE_BYTES] as const;

interface Sample {
  readonly atMs: number;
  readonly counts: readonly number[];
}

export class Rates {
  private readonly samples: Sample[][];

  constructor(private readonly devices: readonly DeviceMemory[]) {
    this.samples = devices.map(() => []);
  }

  sample(nowMs: number): void {
    for (const [index, device] of this.devices.entries()) {
      const list = this.samples[index] as Sample[];
      list.push({ atMs: nowMs, counts: COUNTERS.map((offset) => device.figure(offset)) });
      while (list.length > 2 && nowMs - (list[1] as Sample).atMs >= WINDOW_MS) list.shift();
    }
  }

  of(index: number): { host: number; cache: number; drive: number } {
    const list = this.samples[index] ?? [];
    const first = list[0];
    const last = list[list.length - 1];
    if (first === undefined || last === undefined || last.atMs <= first.atMs)
      return { host: 0, cache: 0, drive: 0 };
    const rate = (n: number) =>
      (((last.counts[n] ?? 0) - (first.counts[n] ?? 0)) * 1000) / (last.atMs - first.atMs);
    return { host: rate(0), cache: rate(1), drive: rate(2) };
  }
}
