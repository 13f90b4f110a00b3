import { dlopen, FFIType, ptr } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { CODEC_IDS, CODEC_TABLES_BYTES, type Codec, codecNameOf, openCodec } from "./codec.ts";
import { frameContentBytes } from "./zstd.ts";

const CHUNK_BYTES = 262144;
const GUARD_BYTES = 64;
const TABLES = 65536;
const SRC = 131072 + CODEC_TABLES_BYTES;
const PACKED = 0x100000;
const PLAIN = 0x200000;
const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const bytes = new Uint8Array(memory.buffer);
const text = readFileSync(import.meta.path);

/** Small seeded generator (mulberry32), so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** Somebody else's LZ4 in the same port. */
function openLibLz4(): Codec {
  const { i32, u64_fast } = FFIType;
  const { symbols } = dlopen("liblz4.so.1", {
    LZ4_compress_default: { args: [u64_fast, u64_fast, i32, i32], returns: i32 },
    LZ4_decompress_safe: { args: [u64_fast, u64_fast, i32, i32], returns: i32 },
  });
  const native = Number(ptr(bytes));
  return {
    id: CODEC_IDS.lz4,
    name: "lz4",
    compress: (src, srcBytes, dst, dstBytesMax) =>
      symbols.LZ4_compress_default(native + src, native + dst, srcBytes, Math.min(dstBytesMax, srcBytes - 1)),
    decompress: (src, srcBytes, dst, dstBytesMax) =>
      symbols.LZ4_decompress_safe(native + src, native + dst, srcBytes, dstBytesMax),
  };
}

function fillText(size: number): void {
  for (let at = 0; at < size; at += text.length) bytes.set(text.subarray(0, size - at), SRC + at);
}

function setGuards(at: number, room: number): void {
  bytes.fill(0xa5, at - GUARD_BYTES, at + room + GUARD_BYTES);
}

function expectGuards(at: number, room: number): void {
  expect(bytes.subarray(at - GUARD_BYTES, at).every((byte) => byte === 0xa5)).toBe(true);
  expect(bytes.subarray(at + room, at + room + GUARD_BYTES).every((byte) => byte === 0xa5)).toBe(true);
}

/** What every codec promises (port.ts). */
function codecContract(title: string, open: () => Codec): void {
  describe(`TREE-09: ${title} as a codec`, () => {
    const codec = open();
    const isPlain = codec.id === CODEC_IDS.none;

    test("has the id that its name has in archives", () => {
      expect(codec.id).toBe(CODEC_IDS[codec.name]);
      expect(codecNameOf(codec.id)).toBe(codec.name);
    });

    test("gives back what it packed, at every size up to 70 and at a chunk's; never grows", () => {
      for (const size of [...Array(71).keys(), 1000, 65_535, 65_536, CHUNK_BYTES - 1, CHUNK_BYTES]) {
        for (const fill of ["text", "zeros"] as const) {
          if (fill === "text") fillText(size);
          else bytes.fill(0, SRC, SRC + size);
          setGuards(PACKED, size);
          const packed = codec.compress(SRC, size, PACKED, size);
          expectGuards(PACKED, size);
          if (packed !== 0) expect(packed).toBeLessThan(size);
          if (isPlain) expect(packed).toBe(0);
          else if (size >= 20_000) expect(packed).toBeGreaterThan(0);
          if (packed === 0) continue;
          setGuards(PLAIN, size);
          expect(codec.decompress(PACKED, packed, PLAIN, size)).toBe(size);
          expectGuards(PLAIN, size);
          const [was, is] = [bytes.subarray(SRC, SRC + size), bytes.subarray(PLAIN, PLAIN + size)];
          expect(Buffer.compare(was, is)).toBe(0);
        }
      }
    });

    test("stores noise plain, and what does not fit", () => {
      const next = random(7);
      for (let i = 0; i < CHUNK_BYTES; i++) bytes[SRC + i] = next(256);
      expect(codec.compress(SRC, CHUNK_BYTES, PACKED, CHUNK_BYTES)).toBe(0);
      fillText(CHUNK_BYTES);
      setGuards(PACKED, 100);
      expect(codec.compress(SRC, CHUNK_BYTES, PACKED, 100)).toBe(0);
      expectGuards(PACKED, 100);
    });

    test("refuses content that is larger than its room", () => {
      fillText(10_000);
      const packed = codec.compress(SRC, 10_000, PACKED, 10_000);
      if (packed === 0) bytes.copyWithin(PACKED, SRC, SRC + 10_000);
      setGuards(PLAIN, 9_999);
      expect(codec.decompress(PACKED, packed || 10_000, PLAIN, 9_999)).toBeLessThan(0);
      expectGuards(PLAIN, 9_999);
    });

    test("any bytes: writes nothing outside its room, throws nothing", () => {
      const next = random(8);
      for (let round = 0; round < 3000; round++) {
        const size = 1 + next(3000);
        fillText(size);
        const made = codec.compress(SRC, size, PACKED, size);
        if (made === 0) bytes.copyWithin(PACKED, SRC, SRC + size);
        let packed = made || size;
        if (next(4) === 0) packed = next(packed + 1);
        for (let n = next(4); n > 0; n--) bytes[PACKED + next(packed || 1)] = next(256);
        const room = next(2) === 0 ? size : next(size + 100);
        bytes.fill(0xa5, PLAIN - GUARD_BYTES, PLAIN);
        bytes.fill(0xa5, PLAIN + room, PLAIN + room + GUARD_BYTES);
        expect(codec.decompress(PACKED, packed, PLAIN, room)).toBeLessThanOrEqual(room);
        for (let i = 0; i < GUARD_BYTES; i++)
          if (bytes[PLAIN - 1 - i] !== 0xa5 || bytes[PLAIN + room + i] !== 0xa5)
            throw new Error(`round ${round}: a guard is overwritten`);
      }
    });
  });
}

codecContract("none", () => openCodec("none", memory, TABLES));
codecContract("lz4", () => openCodec("lz4", memory, TABLES));
codecContract("zstd", () => openCodec("zstd", memory, TABLES));
codecContract("another's lz4", openLibLz4);

test("TREE-09: an unknown id is no codec", () => {
  expect(codecNameOf(3)).toBeNull();
  expect(codecNameOf(-1)).toBeNull();
});

test("TREE-09: our lz4 and another's read each other", () => {
  const [ours, theirs] = [openCodec("lz4", memory, TABLES), openLibLz4()];
  fillText(CHUNK_BYTES);
  for (const [packer, opener] of [
    [ours, theirs],
    [theirs, ours],
  ] as const) {
    const packed = packer.compress(SRC, CHUNK_BYTES, PACKED, CHUNK_BYTES);
    expect(opener.decompress(PACKED, packed, PLAIN, CHUNK_BYTES)).toBe(CHUNK_BYTES);
  }
});

describe("TREE-09: zstd frames that would grow", () => {
  const zstd = openCodec("zstd", memory, TABLES);
  const view = new DataView(memory.buffer);
  const put = (frame: Uint8Array) => {
    bytes.set(frame, PACKED);
    return frame.length;
  };
  const blockHeader = (last: number, type: number, size: number) => {
    const header = last | (type << 1) | (size << 3);
    return [header & 255, (header >>> 8) & 255, header >>> 16];
  };
  const small = Bun.zstdCompressSync(new Uint8Array(100));

  test("a second frame behind the first, of any size, is refused unopened", () => {
    const bomb = Bun.zstdCompressSync(new Uint8Array(64 << 20), { level: 1 });
    const size = put(Buffer.concat([small, bomb]));
    expect(frameContentBytes(view, PACKED, small.length)).toBe(100);
    expect(frameContentBytes(view, PACKED, size)).toBeLessThan(0);
    expect(zstd.decompress(PACKED, size, PLAIN, CHUNK_BYTES)).toBeLessThan(0);
  });

  test("a frame that opens to more or less than it says", () => {
    const says10 = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 10];
    const runs = Array.from({ length: 1000 }, (_, i) => [...blockHeader(i === 999 ? 1 : 0, 1, 131_072), 0]);
    const more = put(Uint8Array.from([says10, ...runs].flat()));
    expect(frameContentBytes(view, PACKED, more)).toBe(10);
    expect(zstd.decompress(PACKED, more, PLAIN, CHUNK_BYTES)).toBeLessThan(0);
    const less = put(Uint8Array.from([...says10, ...blockHeader(1, 1, 5), 0]));
    expect(zstd.decompress(PACKED, less, PLAIN, CHUNK_BYTES)).toBeLessThan(0);
  });

  test("a frame that says too much, or nothing, or is cut", () => {
    const magic = [0x28, 0xb5, 0x2f, 0xfd];
    const much = put(Uint8Array.from([...magic, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, ...blockHeader(1, 1, 5), 0]));
    expect(frameContentBytes(view, PACKED, much)).toBe(2 ** 32);
    expect(zstd.decompress(PACKED, much, PLAIN, CHUNK_BYTES)).toBeLessThan(0);
    const silent = put(Uint8Array.from([...magic, 0x00, 0x58, ...blockHeader(1, 1, 5), 0]));
    expect(frameContentBytes(view, PACKED, silent)).toBeLessThan(0);
    put(small);
    for (let cut = 0; cut < small.length; cut++)
      expect(zstd.decompress(PACKED, cut, PLAIN, CHUNK_BYTES)).toBeLessThan(0);
  });
});
