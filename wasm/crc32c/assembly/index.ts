/** CRC32C (Castagnoli, reflected polynomial 82F63B78h), 16 bytes a step over 16 tables. */
import { TABLES, TABLE_COUNT } from "../layout";

const POLYNOMIAL: u32 = 0x82f63b78;
const TABLE_BYTES: usize = 1024;

/** Fills the tables; once a memory. */
export function prepare(): void {
  const first = TABLES as usize;
  for (let n: u32 = 0; n < 256; n++) {
    let crc = n;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    store<u32>(first + ((n as usize) << 2), crc);
  }
  for (let table: usize = 1; table < (TABLE_COUNT as usize); table++) {
    for (let n: usize = 0; n < 256; n++) {
      const before = load<u32>(first + (table - 1) * TABLE_BYTES + (n << 2));
      const next = (before >>> 8) ^ load<u32>(first + (((before & 255) as usize) << 2));
      store<u32>(first + table * TABLE_BYTES + (n << 2), next);
    }
  }
}

// @ts-ignore: decorator
@inline
function entry(table: usize, byte: u32): u32 {
  return load<u32>((TABLES as usize) + table * TABLE_BYTES + (((byte & 255) as usize) << 2));
}

/** Four bytes whose last one stands `table` bytes before the end of the step. */
// @ts-ignore: decorator
@inline
function word(table: usize, bytes: u32): u32 {
  return entry(table + 3, bytes) ^ entry(table + 2, bytes >>> 8) ^ entry(table + 1, bytes >>> 16) ^ entry(table, bytes >>> 24);
}

/** The checksum of what went before, carried on over `bytes` at memory offset `at`; 0 begins. */
export function update(sum: u32, at: u32, bytes: u32): u32 {
  let crc = ~sum;
  let p = at as usize;
  const end = p + (bytes as usize);
  for (; p + 16 <= end; p += 16) {
    crc = word(12, load<u32>(p) ^ crc) ^ word(8, load<u32>(p, 4)) ^ word(4, load<u32>(p, 8)) ^ word(0, load<u32>(p, 12));
  }
  for (; p < end; p++) crc = (crc >>> 8) ^ entry(0, crc ^ load<u8>(p));
  return ~crc;
}
