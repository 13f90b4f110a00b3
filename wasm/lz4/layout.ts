/** @module The working memory of the LZ4 compressor: read by both compilers. Wherever the host puts it:
 *
 *          0  u32 epoch: the position that the next chunk's first byte gets; 0: never used, clear first
 *         64  hash table, u32 a cell: position of the last bytes that had this hash
 *
 *  Positions run on from chunk to chunk with a gap wider than the format's window between them, so a cell that an
 *  earlier chunk left is simply too far away, and the table is cleared once in two thousand million bytes. */
export const EPOCH: i32 = 0;
export const TABLE: i32 = 64;
export const TABLE_BITS: i32 = 14;
/** Size of the working memory: one a thread that compresses; decompression needs none. */
export const TABLES_BYTES: i32 = 65600;
