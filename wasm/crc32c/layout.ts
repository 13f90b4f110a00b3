/** @module Memory of the CRC32C module: it has one of its own, since what it sums up lies anywhere.
 *
 *          0  static data of modules (bases.ts)
 *      65536  16 tables of 256 words
 *      81920  a piece of the data, copied here: small enough to stay in the first-level cache */
export const TABLES = 65536;
export const TABLE_COUNT = 16;
export const PIECE = 81920;
export const PIECE_BYTES = 16384;
export const MEMORY_BYTES = 131072;
