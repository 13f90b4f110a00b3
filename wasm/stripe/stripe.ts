/** @module Host-side view of wasm/stripe over one directing device's memory. Each thread makes its own. */
import { readFileSync } from "node:fs";
import wasmPath from "./build/stripe.wasm" with { type: "file" };

/** What the module exports: memory offsets and lengths as numbers below 2^32, native addresses below 2^53
 *  (see assembly/index.ts). */
export interface StripeExports {
  xorStrips(source: number, count: number, strideBytes: number, bytes: number, target: number): void;
  prepare(
    ring: number,
    stripes: number,
    rotation: number,
    members: number,
    stripBytes: number,
    withParity: number,
    out: number,
    parityArea: number,
    iovecs: number,
    base: number,
  ): void;
}

let compiled: WebAssembly.Module | undefined;

export function openStripe(memory: WebAssembly.Memory): StripeExports {
  compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
  const instance = new WebAssembly.Instance(compiled, { env: { memory, abort: aborted } });
  return instance.exports as unknown as StripeExports;
}

function aborted(): never {
  throw new Error("wasm/stripe: assertion failed");
}
