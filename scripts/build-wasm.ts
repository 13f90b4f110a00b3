/** @module Compiles every wasm/NAME/assembly/index.ts to wasm/NAME/build/NAME.wasm.
 *  All modules live over ONE imported shared memory, so each gets a static data area of its own
 *  (`--memoryBase`): the table below is that one truth, checked against overlaps by the layout test. */
import { mkdirSync } from "node:fs";
import { $ } from "bun";
import { MODULE_BASE } from "../wasm/bases.ts";

for (const [name, base] of Object.entries(MODULE_BASE)) {
  if (!(await Bun.file(`wasm/${name}/assembly/index.ts`).exists())) continue;
  mkdirSync(`wasm/${name}/build`, { recursive: true });
  await $`node_modules/.bin/asc wasm/${name}/assembly/index.ts --outFile wasm/${name}/build/${name}.wasm --enable threads,simd,bulk-memory --runtime stub --importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536 --memoryBase ${base} -O3 --noAssert`;
}
