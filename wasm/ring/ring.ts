/** @module Host-side view of wasm/ring over one directing device's memory. Each thread makes its own. */
import { readFileSync } from "node:fs";
import wasmPath from "./build/ring.wasm" with { type: "file" };

/** What the module exports; offsets J and cursors are f64, memory offsets i32 (see assembly/index.ts). */
export interface RingExports {
  get(at: number): number;
  set(at: number, value: number): void;
  room(): number;
  reserve(bytes: number): number;
  unreserve(): void;
  placeBytes(bytes: number): number;
  stripePadBytes(): number;
  append(
    J: number,
    kind: number,
    flags: number,
    image: number,
    position: number,
    fileNumber: number,
    dataBytes: number,
    count: number,
    blockBytes: number,
    nowMs: number,
  ): number;
  padToStripe(image: number, position: number, nowMs: number): number;
  claim(J: number): number;
  soundHeader(p: number, J: number): number;
  soundData(p: number): number;
  field64(p: number): number;
  same64(p: number, q: number): number;
  hashInto(p: number, bytes: number, into: number): void;
  copy(to: number, from: number, bytes: number): void;
}

let compiled: WebAssembly.Module | undefined;

export function openRing(memory: WebAssembly.Memory): RingExports {
  compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
  const instance = new WebAssembly.Instance(compiled, { env: { memory, abort: aborted } });
  return instance.exports as unknown as RingExports;
}

function aborted(): never {
  throw new Error("wasm/ring: assertion failed");
}
