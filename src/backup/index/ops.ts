/** @module What a difference does to the index that it differs from: one number an op, the count times 4, plus OP. */
import { ByteReader, MalformedRecord } from "./varint.ts";

export const OP = { copy: 0, drop: 1, insert: 2 } as const;
export const OPS = 4;

/** Op, count, op, count, ... Throws MalformedRecord. */
export function* parseOps(bytes: Uint8Array): Generator<[op: number, count: number]> {
  const reader = new ByteReader(bytes);
  while (!reader.done) {
    const number = reader.varint();
    const op = number % OPS;
    const count = Math.floor(number / OPS);
    if (op > OP.insert || count === 0) throw new MalformedRecord("an op of an unknown kind");
    yield [op, count];
  }
}

/** Entries by what becomes of them. Throws MalformedRecord. */
export function countOps(bytes: Uint8Array): { copied: number; dropped: number; inserted: number } {
  const counts = [0, 0, 0];
  for (const [op, count] of parseOps(bytes)) counts[op] = (counts[op] as number) + count;
  const [copied = 0, dropped = 0, inserted = 0] = counts;
  return { copied, dropped, inserted };
}
