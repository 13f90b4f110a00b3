/** @module The working memory of the LZ4 compressor: read by both compilers. Wherever the host puts it it is one hash
 *  table, a u16 a cell, that each chunk begins with blank. 32 KiB: with the 64 KiB that matches reach back it stays in
 *  the second-level cache, and twice as many cells make chunks one part in two hundred smaller, and slower. */
export const TABLE_BITS: i32 = 14;
/** Size of the working memory: one a thread that compresses; decompression needs none. */
export const TABLES_BYTES: i32 = 32768;
