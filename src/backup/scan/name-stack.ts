/** @module The names of the directories that a walk is in, as the kernel wrote them down: one native memory for all, the
 *  deepest directory on top. Nothing is allocated per name, and a name's address can go straight into a call.
 *
 *  (1) A name is known by its offset in `bytes`; it ends with NUL; the byte before it is its type (d_type).
 *  (2) `order` holds the offsets of each directory's names in ascending order of bytes, directory behind directory.
 *  (3) Pushing may move the memory: addresses count until the next push only, offsets until the directory is dropped. */
import { getdents64, NativeBuffer } from "../../base/files.ts";

const RECORD_TYPE = 18;
const RECORD_NAME = 19;
const ROOM_BYTES = 32 * 1024;
const READ_BYTES = 1024 * 1024;
const DOT = 0x2e;

export const TYPE_UNKNOWN = 0;
export const TYPE_DIRECTORY = 4;

/** Bits of a whole number that a float holds exactly. */
const KEY_BITS = 53;

export class NameStack {
  #buffer = new NativeBuffer(256 * 1024);
  bytes = this.#buffer.bytes;
  #top = 0;
  order = new Uint32Array(4096);
  /** How many names there are: the next push's begin here. */
  count = 0;
  #keys = new Float64Array(1024);

  addressOf(offset: number): number {
    return this.#buffer.address + offset;
  }

  lengthOf(offset: number): number {
    return this.bytes.indexOf(0, offset) - offset;
  }

  /** Where the next directory's bytes will begin: what `drop` wants back. */
  get top(): number {
    return this.#top;
  }

  /** Forgets the names from `count` on, and the bytes from `top` on. */
  drop(count: number, top: number): void {
    this.count = count;
    this.#top = top;
  }

  /** Reads all names of an open directory (not "." and ".."). Returns 0 or -errno; what was read until then counts. */
  pushDirectory(fd: number): number {
    const from = this.#top;
    let top = from;
    let result = 0;
    for (;;) {
      this.#reserve(top + ROOM_BYTES);
      const room = Math.min(this.bytes.length - top, READ_BYTES);
      result = getdents64(fd, this.#buffer.address + top, room);
      if (result <= 0) break;
      top += result;
    }
    this.#top = top;
    const first = this.count;
    this.#list(from, top);
    this.#sort(first, this.count);
    return result;
  }

  /** Names that another walk gave away: [type, name, NUL]..., in order. */
  pushPacked(packed: Uint8Array): void {
    const from = this.#top;
    this.#reserve(from + packed.length);
    this.bytes.set(packed, from);
    this.#top = from + packed.length;
    for (let at = from; at < this.#top; ) {
      this.#add(at + 1);
      at = this.bytes.indexOf(0, at + 1) + 1;
    }
  }

  /** The names from number `from` up to `to`, as pushPacked takes them. */
  pack(from: number, to: number): Uint8Array<ArrayBuffer> {
    let bytes = 0;
    for (let number = from; number < to; number++) bytes += this.lengthOf(this.order[number] as number) + 2;
    const packed = new Uint8Array(bytes);
    let at = 0;
    for (let number = from; number < to; number++) {
      const offset = this.order[number] as number;
      const length = this.lengthOf(offset) + 2;
      packed.set(this.bytes.subarray(offset - 1, offset - 1 + length), at);
      at += length;
    }
    return packed;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    this.#buffer = this.#buffer.grown(Math.max(2 * this.bytes.length, bytes));
    this.bytes = this.#buffer.bytes;
  }

  #add(offset: number): void {
    if (this.count === this.order.length) {
      const larger = new Uint32Array(2 * this.order.length);
      larger.set(this.order);
      this.order = larger;
    }
    this.order[this.count++] = offset;
  }

  /** Walks the kernel's records. */
  #list(from: number, to: number): void {
    const bytes = this.bytes;
    for (let at = from; at < to; ) {
      const name = at + RECORD_NAME;
      const isDots =
        bytes[name] === DOT && (bytes[name + 1] === 0 || (bytes[name + 1] === DOT && bytes[name + 2] === 0));
      if (!isDots) this.#add(at + RECORD_TYPE + 1);
      at += (bytes[at + 16] as number) | ((bytes[at + 17] as number) << 8);
    }
  }

  /** Sorts by numbers made of a few bytes of each name behind what all names share, the name's own number in their
   *  last bits; only names with equal numbers are compared byte by byte. */
  #sort(from: number, to: number): void {
    const count = to - from;
    if (count < 2) return;
    const { bytes, order } = this;
    const numberBits = Math.ceil(Math.log2(count));
    const keyBytes = Math.min(6, (KEY_BITS - numberBits) >> 3);
    const scale = 2 ** numberBits;
    const shared = this.#sharedBytes(from, to);
    if (count > this.#keys.length) this.#keys = new Float64Array(2 ** numberBits);
    const keys = this.#keys;
    for (let number = 0; number < count; number++) {
      let at = (order[from + number] as number) + shared;
      let key = 0;
      for (let taken = 0; taken < keyBytes; taken++) {
        const byte = bytes[at] as number;
        key = key * 256 + byte;
        if (byte !== 0) at++;
      }
      keys[number] = key * scale + number;
    }
    if (count <= 24) insertionSort(keys, count);
    else keys.subarray(0, count).sort();
    const names = order.slice(from, to);
    let before = -1;
    let tieFrom = from;
    for (let number = 0; number < count; number++) {
      const key = Math.floor((keys[number] as number) / scale);
      order[from + number] = names[(keys[number] as number) - key * scale] as number;
      if (key !== before) {
        this.#sortTie(tieFrom, from + number);
        tieFrom = from + number;
        before = key;
      }
    }
    this.#sortTie(tieFrom, to);
  }

  /** How many bytes all names begin with. */
  #sharedBytes(from: number, to: number): number {
    const { bytes, order } = this;
    const first = order[from] as number;
    let shared = this.lengthOf(first);
    for (let number = from + 1; number < to && shared > 0; number++) {
      const name = order[number] as number;
      let same = 0;
      while (same < shared && bytes[first + same] === bytes[name + same]) same++;
      shared = same;
    }
    return shared;
  }

  #sortTie(from: number, to: number): void {
    if (to - from < 2) return;
    this.order.subarray(from, to).sort((a, b) => this.compare(a, b));
  }

  /** Order of two names by their offsets. */
  compare(a: number, b: number): number {
    const bytes = this.bytes;
    for (let at = 0; ; at++) {
      const x = bytes[a + at] as number;
      const y = bytes[b + at] as number;
      if (x !== y || x === 0) return x - y;
    }
  }
}

function insertionSort(keys: Float64Array, count: number): void {
  for (let number = 1; number < count; number++) {
    const key = keys[number] as number;
    let at = number;
    for (; at > 0 && (keys[at - 1] as number) > key; at--) keys[at] = keys[at - 1] as number;
    keys[at] = key;
  }
}
