/** @module xxHash3 (64 bit, seed 0) of bytes at a native address. Injected, so that a WASM kernel without BigInt can
 *  take the place of Bun's own. */
import { type Pointer, toArrayBuffer } from "bun:ffi";

/** Writes the hash as a little-endian u64 at `into[at]`. */
export type Hash64 = (address: number, bytes: number, into: DataView, at: number) => void;

const NOTHING = new Uint8Array(0);

/** A JS view of native memory that lives as long as its owner says. */
export function viewNative(address: number, bytes: number): Uint8Array {
  // A pointer is a number in Bun; only its type is branded.
  return bytes === 0 ? NOTHING : new Uint8Array(toArrayBuffer(address as Pointer, 0, bytes));
}

export const bunHash64: Hash64 = (address, bytes, into, at) => {
  into.setBigUint64(at, Bun.hash.xxHash3(viewNative(address, bytes)), true);
};
