/** @module Numbers in as few bytes as they need: seven bits a byte, the lowest first, bit 7 set where more follow.
 *  Signed numbers are folded first: 0, -1, 1, -2 become 0, 1, 2, 3. */

/** No number up to 2^53 - 1 needs more. */
export const VARINT_BYTES_MAX = 8;

/** Writes `value`, an integer in [0, 2^53), at `at`; returns the place behind it. */
export function putVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  let to = at;
  while (rest >= 0x4000_0000) {
    out[to++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  let small = rest | 0;
  while (small >= 0x80) {
    out[to++] = (small & 0x7f) | 0x80;
    small >>>= 7;
  }
  out[to++] = small;
  return to;
}

/** A signed integer in (-2^52, 2^52) as an unsigned one. */
export function fold(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

export function unfold(folded: number): number {
  return folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
}

/** Records or pages that no writer of this program can have made. */
export class MalformedRecord extends Error {
  override readonly name = "MalformedRecord";
}

/** Reads numbers and bytes one after another, never beyond the end: throws MalformedRecord there. */
export class ByteReader {
  bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new MalformedRecord("it ends in the middle of a record");
    return byte;
  }

  varint(): number {
    const bytes = this.bytes;
    let at = this.at;
    let byte = bytes[at++] as number;
    if (byte < 0x80) {
      this.at = at;
      return byte;
    }
    let value = byte & 0x7f;
    let weight = 128;
    do {
      if (at >= bytes.length) throw new MalformedRecord("it ends in the middle of a number");
      byte = bytes[at++] as number;
      value += (byte & 0x7f) * weight;
      weight *= 128;
      if (value > Number.MAX_SAFE_INTEGER) throw new MalformedRecord("a number is too large");
    } while (byte >= 0x80 && weight <= 2 ** 56);
    if (byte >= 0x80) throw new MalformedRecord("a number is too long");
    this.at = at;
    return value;
  }

  signed(): number {
    return unfold(this.varint());
  }

  /** A view of the next bytes. */
  take(count: number): Uint8Array {
    const from = this.at;
    if (count > this.bytes.length - from) throw new MalformedRecord("it ends in the middle of a record");
    this.at = from + count;
    return this.bytes.subarray(from, from + count);
  }
}

/** Numbers and bytes one after another, in room that grows. */
export class ByteWriter {
  #out = new Uint8Array(new ArrayBuffer(256));
  #at = 0;

  get length(): number {
    return this.#at;
  }

  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    this.#at = putVarint(this.#out, this.#at, value);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#out.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** All of it; valid until the next write. */
  view(): Uint8Array {
    return this.#out.subarray(0, this.#at);
  }

  reset(): void {
    this.#at = 0;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#out.length) return;
    const larger = new Uint8Array(new ArrayBuffer(2 ** Math.ceil(Math.log2(needed))));
    larger.set(this.#out.subarray(0, this.#at));
    this.#out = larger;
  }
}
