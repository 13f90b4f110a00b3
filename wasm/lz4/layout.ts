/** @module The working memory of LZ4, wherever the host puts it: read by both compilers. No static data.
 *
 *          0  for offsets 1 to 15, 16 bytes a row: where byte i of a run comes from, i mod offset
 *        256  for offsets 1 to 15, a byte each: how many of 16 bytes are whole patterns
 *        512  the compressor's hash table, a u16 a cell, that each chunk begins with blank
 *
 *  32 KiB of table: with the 64 KiB that matches reach back it stays in the second-level cache; twice as many cells
 *  make chunks one part in two hundred smaller, and slower to make. */
export const REPEAT: i32 = 0;
export const STRIDE: i32 = 256;
export const TABLE: i32 = 512;
export const TABLE_BITS: i32 = 14;
/** Size of the working memory; one a thread. */
export const TABLES_BYTES: i32 = 33280;
