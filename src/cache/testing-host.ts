/** @module More ingredients of the cache's tests: a host that fills the ring with entries and remembers them, a tape that
 *  follows, and disks that lose what was not synced when the power goes. Nothing in the product imports this. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import {
  CACHE_STATE,
  CACHED,
  CHECKPOINT,
  DURABLE,
  FOLLOWER,
  FOLLOWER_RING,
  KIND_BLOCK,
  KIND_FILEMARKS,
  ON_TAPE,
  RECEIVED,
  RESERVED,
  RING,
  SEQUENCE,
  TAKEN,
} from "../../wasm/ring/layout.ts";
import type { RingExports } from "../../wasm/ring/ring.ts";
import { IOVEC_BYTES } from "../../wasm/stripe/layout.ts";
import type { CacheArray } from "./array.ts";
import { type MemberIo, writeOneByOne } from "./io.ts";
import { seeded, type TestBench } from "./testing.ts";
import { CacheWriter } from "./writer.ts";

export interface SentEntry {
  readonly J: number;
  readonly endJ: number;
  readonly kind: number;
  readonly sequence: number;
  readonly position: number;
  readonly hash: bigint;
}

/** The front and the drive of one device, as far as the cache sees them. */
export class TestHost {
  readonly ring: RingExports;
  readonly writer: CacheWriter;
  /** Every block and filemark published, in order. */
  readonly sent: SentEntry[] = [];
  position = 0;
  readonly #bench: TestBench;
  readonly #next: () => number;
  /** Ends of all entries, PADs too, with the sequence number that follows. */
  readonly #ends: { J: number; sequence: number }[] = [];

  constructor(bench: TestBench, array: CacheArray, seed: number, startJ = 0, sequence = 0) {
    this.#bench = bench;
    this.#next = seeded(seed);
    this.ring = bench.ring();
    for (const cursor of [RESERVED, RECEIVED, TAKEN, ON_TAPE]) this.ring.set(cursor, startJ);
    this.ring.set(SEQUENCE, sequence);
    bench.shared.words[FOLLOWER / 4] = FOLLOWER_RING;
    this.#ends.push({ J: startJ, sequence });
    this.writer = new CacheWriter(
      { array, cursors: this.ring, tapePlace: (into) => this.#tapePlace(into) },
      startJ,
    );
  }

  /** One block or filemark; false: no room in the ring. */
  send(bytesMax = 20_000): boolean {
    const kind = this.#next() < 0.1 ? KIND_FILEMARKS : KIND_BLOCK;
    const dataBytes = kind === KIND_BLOCK ? 1 + Math.floor(this.#next() * bytesMax) : 0;
    const received = this.ring.get(RECEIVED);
    const J = this.ring.reserve(512 + Math.ceil(dataBytes / 512) * 512);
    if (J < 0) return false;
    const at = RING + (J % this.#bench.ringBytes) + 512;
    const data = new Uint8Array(dataBytes);
    for (let i = 0; i < dataBytes; i++) data[i] = this.#next() * 256;
    this.#bench.shared.bytes.set(data, at);
    this.ring.append(J, kind, kind === KIND_FILEMARKS ? 1 : 0, 3, this.position, 0, dataBytes, 1, 0, 0);
    const sequence = this.ring.get(SEQUENCE);
    if (J > received) this.#ends.push({ J, sequence: sequence - 1 });
    const endJ = this.ring.get(RECEIVED);
    this.#ends.push({ J: endJ, sequence });
    const hash = Bun.hash.xxHash3(data);
    this.sent.push({ J, endJ, kind, sequence: sequence - 1, position: this.position, hash });
    this.position++;
    return true;
  }

  /** A barrier: fills the stripe and waits (by steps) until everything is durable; false: the cache is lost. */
  barrier(want: number): boolean {
    for (;;) {
      const J = this.ring.padToStripe(3, this.position, 0);
      if (J >= 0) {
        this.#ends.push({ J, sequence: this.ring.get(SEQUENCE) });
        this.ring.set(want, J);
        while (this.ring.get(DURABLE) < J) {
          if (this.writer.step() !== "worked") {
            if (this.lost) return false;
            this.tape(1);
          }
        }
        this.ring.set(want, 0);
        return true;
      }
      if (this.lost) return false;
      this.writer.step();
      this.tape(1);
    }
  }

  /** The drive confirms a part (0 to 1) of what is received and not on tape. */
  tape(part: number): void {
    const limit = this.ring.get(ON_TAPE) + part * (this.ring.get(RECEIVED) - this.ring.get(ON_TAPE));
    let to = this.#ends[0]!;
    for (const end of this.#ends) if (end.J <= limit) to = end;
    this.ring.set(TAKEN, to.J);
    this.ring.set(ON_TAPE, to.J);
  }

  get lost(): boolean {
    return this.#bench.array?.state === "lost" || this.#bench.shared.words[CACHE_STATE / 4] === 0;
  }

  marks(): { cached: number; durable: number; checkpoint: number; onTape: number; received: number } {
    const get = (at: number) => this.ring.get(at);
    return {
      cached: get(CACHED),
      durable: get(DURABLE),
      checkpoint: get(CHECKPOINT),
      onTape: get(ON_TAPE),
      received: get(RECEIVED),
    };
  }

  #tapePlace(into: { J: number; sequence: number; image: number; position: number }): boolean {
    into.J = this.ring.get(ON_TAPE);
    let found = this.#ends.findLast((end) => end.J === into.J);
    found ??= this.#ends[0]!;
    into.sequence = found.sequence;
    into.image = 3;
    into.position = 0;
    return true;
  }
}

export class Killed extends Error {}

/** Disks with a volatile cache: `cut()` takes a random part of every write since the member's last sync back. */
export class PowerCut {
  readonly io: MemberIo;
  /** So many writes and syncs from now the process is killed: in mid-operation, the array half done. */
  killAfter = Number.POSITIVE_INFINITY;
  readonly #paths: readonly string[];
  #unsynced: { member: number; offset: number; before: Buffer }[] = [];

  constructor(below: MemberIo, paths: readonly string[], stripBytes: number) {
    this.#paths = paths;
    this.io = {
      pwritev: (m, fd, a, n, o) => {
        this.#keep(m, o, n * stripBytes);
        return below.pwritev(m, fd, a, n, o);
      },
      pwritevAll: (batch) => writeOneByOne(this.io, batch),
      pwrite: (m, fd, a, n, o) => {
        this.#keep(m, o, n);
        return below.pwrite(m, fd, a, n, o);
      },
      pread: (m, fd, a, n, o) => below.pread(m, fd, a, n, o),
      prefetch: (m, fd, o, n) => below.prefetch(m, fd, o, n),
      fdatasync: (m, fd) => {
        this.#tick();
        const result = below.fdatasync(m, fd);
        if (result >= 0) this.#unsynced = this.#unsynced.filter((write) => write.member !== m);
        return result;
      },
    };
    if (IOVEC_BYTES !== 16) throw new Error("iovecs changed");
  }

  #tick(): void {
    if (--this.killAfter <= 0) throw new Killed();
  }

  #keep(member: number, offset: number, bytes: number): void {
    this.#tick();
    const before = Buffer.alloc(bytes);
    const fd = openSync(this.#paths[member]!, "r");
    readSync(fd, before, 0, bytes, offset);
    closeSync(fd);
    this.#unsynced.push({ member, offset, before });
  }

  /** Call when the files are closed. */
  cut(next: () => number): void {
    for (const write of this.#unsynced.reverse()) {
      const fd = openSync(this.#paths[write.member]!, "r+");
      for (let at = 0; at < write.before.length; at += 512)
        if (next() < 0.5) writeSync(fd, write.before, at, 512, write.offset + at);
      closeSync(fd);
    }
    this.#unsynced = [];
  }
}
