/** @module Ingredients of the cache's tests: small arrays in a temporary directory, a journal to fill them with, and
 *  disks that fail when told to. Nothing in the product imports this. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CACHE_BYTES, RING, RING_BYTES, STRIPE_BYTES } from "../../wasm/ring/layout.ts";
import { openRing, type RingExports } from "../../wasm/ring/ring.ts";
import { createSharedMemory, type SharedMemory } from "../base/memory.ts";
import type { WriteBatch } from "./aio.ts";
import type { CacheArray } from "./array.ts";
import type { CacheEvent } from "./events.ts";
import { type Parity, stripeBytesOf } from "./geometry.ts";
import { type MemberIo, systemIo, writeOneByOne } from "./io.ts";
import { type OpenOutcome, openCacheArray } from "./open.ts";

/** Small seeded generator (mulberry32), so that a failure can be run again. */
export function seeded(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export type IoCall = Exclude<keyof MemberIo, "prefetch" | "pwritevAll">;

/** `faults.on("pwritev", 1, 3, -5)`: member 1's third pwritev from now and all after it fail with EIO. */
export class Faults {
  readonly #rules: { call: IoCall; member: number; left: number; result: number; lasts: boolean }[] = [];
  readonly io: MemberIo;
  /** Calls seen so far, by name. */
  readonly seen = { pwritev: 0, pwrite: 0, pread: 0, fdatasync: 0 };

  constructor(below: MemberIo = systemIo) {
    this.io = {
      pwritev: (m, fd, a, n, o) => this.#fault("pwritev", m) ?? below.pwritev(m, fd, a, n, o),
      pwrite: (m, fd, a, n, o) => this.#fault("pwrite", m) ?? below.pwrite(m, fd, a, n, o),
      pread: (m, fd, a, n, o) => this.#fault("pread", m) ?? below.pread(m, fd, a, n, o),
      fdatasync: (m, fd) => this.#fault("fdatasync", m) ?? below.fdatasync(m, fd),
      prefetch: (m, fd, o, n) => below.prefetch(m, fd, o, n),
      pwritevAll: (batch) =>
        this.#rules.length === 0 ? this.#all(below, batch) : writeOneByOne(this.io, batch),
    };
  }

  on(call: IoCall, member: number, nth: number, result: number, lasts = true): this {
    this.#rules.push({ call, member, left: nth, result, lasts });
    return this;
  }

  clear(): void {
    this.#rules.length = 0;
  }

  #all(below: MemberIo, batch: WriteBatch): void {
    this.seen.pwritev += batch.count;
    below.pwritevAll(batch);
  }

  #fault(call: IoCall, member: number): number | undefined {
    this.seen[call]++;
    for (const rule of this.#rules) {
      if (rule.call !== call || rule.member !== member) continue;
      rule.left--;
      if (rule.left === 0 || (rule.left < 0 && rule.lasts)) return rule.result;
    }
    return undefined;
  }
}

export interface BenchShape {
  readonly members: number;
  readonly parity: Parity;
  readonly stripBytes: number;
  /** Stripes in the ring. */
  readonly ringStripes: number;
  /** Rings in the cache. */
  readonly laps: number;
}

export const SMALL: BenchShape = { members: 4, parity: "one", stripBytes: 4096, ringStripes: 8, laps: 4 };

/** One device's memory and member files; arrays are opened over them again and again. */
export class TestBench {
  readonly directory: string;
  readonly paths: string[];
  readonly ringBytes: number;
  readonly cacheBytes: number;
  readonly stripeBytes: number;
  readonly shape: BenchShape;
  readonly faults = new Faults();
  readonly events: CacheEvent[] = [];
  shared: SharedMemory;
  /** What arrays are opened over. */
  io: MemberIo = this.faults.io;
  array: CacheArray | null = null;

  /** In memory where there is such a place: hundreds of syncs on a shared disk take minutes on a bad day. */
  constructor(shape: Partial<BenchShape> = {}, onDisk = false) {
    const place = !onDisk && existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    this.directory = mkdtempSync(join(place, "understudy-cache-"));
    this.shape = { ...SMALL, ...shape };
    const { members, parity, stripBytes, ringStripes, laps } = this.shape;
    this.stripeBytes = stripeBytesOf(members, parity, stripBytes);
    this.ringBytes = this.stripeBytes * ringStripes;
    this.cacheBytes = this.ringBytes * laps;
    this.paths = Array.from({ length: members }, (_, i) => join(this.directory, `member-${i}`));
    this.shared = createSharedMemory(RING + this.ringBytes);
  }

  tryOpen(owner = "drive-1", shape: Partial<BenchShape> = {}): OpenOutcome {
    const { members, parity, stripBytes } = { ...this.shape, ...shape };
    const outcome = openCacheArray({
      shared: this.shared,
      owner,
      memberPaths: this.paths.slice(0, members),
      parity,
      stripBytes,
      cacheBytes: this.cacheBytes,
      ringBytes: this.ringBytes,
      io: this.io,
      onEvent: (event) => this.events.push(event),
    });
    if (outcome.kind === "open") this.array = outcome.array;
    return outcome;
  }

  open(): CacheArray {
    const outcome = this.tryOpen();
    if (outcome.kind !== "open") throw new Error(`${outcome.path}: ${outcome.reason}`);
    return outcome.array;
  }

  /** The process is gone and comes back: files are closed as they are, the memory is empty. */
  crash(): void {
    this.array?.close();
    this.array = null;
    this.shared = createSharedMemory(RING + this.ringBytes);
  }

  /** A ring over the memory, with its geometry set. */
  ring(): RingExports {
    const ring = openRing(this.shared.memory);
    ring.set(RING_BYTES, this.ringBytes);
    ring.set(STRIPE_BYTES, this.stripeBytes);
    ring.set(CACHE_BYTES, this.cacheBytes);
    return ring;
  }

  dispose(): void {
    this.array?.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The journal as it should be: its last `cacheBytes` bytes. */
export class ModelJournal {
  readonly bytes: Uint8Array;
  headJ = 0;
  readonly #bench: TestBench;
  readonly #next: () => number;

  constructor(bench: TestBench, seed: number) {
    this.#bench = bench;
    this.#next = seeded(seed);
    this.bytes = new Uint8Array(bench.cacheBytes);
  }

  /** Fills the next stripes of the ring with random bytes, as far as the ring's end; returns how many. */
  fill(stripesWanted: number): number {
    const { ringBytes, stripeBytes, shared, cacheBytes } = this.#bench;
    const inRing = this.headJ % ringBytes;
    const stripes = Math.min(stripesWanted, (ringBytes - inRing) / stripeBytes);
    const words = new Uint32Array((stripes * stripeBytes) / 4);
    for (let i = 0; i < words.length; i++) words[i] = this.#next() * 2 ** 32;
    const fresh = new Uint8Array(words.buffer);
    shared.bytes.set(fresh, RING + inRing);
    this.bytes.set(fresh, this.headJ % cacheBytes);
    this.headJ += stripes * stripeBytes;
    return stripes;
  }

  /** Writes the next stripes through the array. */
  write(array: CacheArray, stripesWanted: number): boolean {
    const fromJ = this.headJ;
    return array.writeStripes(fromJ, this.fill(stripesWanted));
  }

  expected(J: number, bytes: number): Uint8Array {
    const result = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i++) result[i] = this.bytes[(J + i) % this.bytes.length]!;
    return result;
  }
}
