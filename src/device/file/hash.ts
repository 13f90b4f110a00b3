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

/** Views of small places that are hashed again and again (record headers): a view made for each cost 430 bytes that
 *  a thread which never rests did not get back. */
const kept = new Map<number, Uint8Array>();
const KEPT_MAX = 64;
const KEPT_BYTES_MAX = 512;

function viewKept(address: number, bytes: number): Uint8Array {
  let view = kept.get(address);
  if (view === undefined || view.length !== bytes) {
    if (kept.size >= KEPT_MAX) kept.clear();
    view = viewNative(address, bytes);
    kept.set(address, view);
  }
  return view;
}

export const bunHash64: Hash64 = (address, bytes, into, at) => {
  const view = bytes <= KEPT_BYTES_MAX ? viewKept(address, bytes) : viewNative(address, bytes);
  into.setBigUint64(at, Bun.hash.xxHash3(view), true);
};
