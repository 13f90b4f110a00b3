/** @module Where the static data of each WASM module lies in the shared memory (bytes from its start).
 *  AssemblyScript places constants from `--memoryBase` up; each module has 4 KiB here, checked by a test. */
export const MODULE_BASE = { ring: 1024, stripe: 8192, crc32c: 12288, lz4: 16384 } as const;
