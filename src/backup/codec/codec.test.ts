import { expect, test } from "bun:test";
import { CODEC_TABLES_BYTES, openCodec } from "./codec.ts";

const MEMORY = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const BYTES = new Uint8Array(MEMORY.buffer);
const TABLES = 65536;
const SRC = TABLES + Math.ceil(CODEC_TABLES_BYTES / 65536) * 65536;
const PACKED = SRC + 0x80000;
const PLAIN = PACKED + 0x80000;

for (const name of ["lz4", "zstd"] as const) {
  test(`TREE-09: ${name} gives back what it packed`, () => {
    const codec = openCodec(name, MEMORY, TABLES);
    const text = new TextEncoder()
      .encode("the quick brown fox, a line that comes again and again\n".repeat(5000))
      .subarray(0, 262144);
    BYTES.set(text, SRC);
    const size = codec.compress(SRC, text.length, PACKED, text.length);
    expect(size).toBeGreaterThan(0);
    expect(codec.decompress(PACKED, size, PLAIN, text.length)).toBe(text.length);
    expect(Buffer.compare(BYTES.slice(PLAIN, PLAIN + text.length), text)).toBe(0);
  });
}
