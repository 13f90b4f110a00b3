/** @module FileReader on real files; chunks are kept in memory. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AT_FDCWD, CPath, EPERM, mknodat, O_NOATIME, Statx } from "../../base/files.ts";
import { CHUNK_PLAIN_BYTES_MAX, PIECE, PIECE_HEADER_BYTES } from "../archive/layout.ts";
import { noise } from "../archive/testing.ts";
import { type Entry, FLAG, KIND, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import { ChunkFiller } from "./filler.ts";
import { JOB_FLAG } from "./jobs.ts";
import { pathHash } from "./reader.ts";
import { Bench, memory, PACK, scanned, spansOf } from "./testing-reader.ts";

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "reader-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function fileOf(content: Uint8Array | string): string {
  const path = join(folder, `file ${files++}`);
  writeFileSync(path, content);
  return path;
}

/** What `entry` holds becomes what a job expects. */
const expecting = (older: Entry, flags = 0) => {
  return (entry: Entry) => {
    entry.takeContent(older);
    entry.flags |= flags;
  };
};

test.each([
  0,
  1,
  100,
  4096,
  PIECE_BYTES - 1,
  PIECE_BYTES,
  PIECE_BYTES + 1,
  2 * PIECE_BYTES,
  3 * PIECE_BYTES + 5,
])("TREE-09: a file of %d bytes is stored whole, in pieces that keep to their chunks", (bytes) => {
  const bench = new Bench();
  const content = noise(bytes, bytes);
  bench.read(fileOf("something before it"));
  const entry = bench.read(fileOf(content));
  bench.read(fileOf("something behind it"));
  bench.expectWhole(entry, content);
  expect(entry.spanCount).toBe(Math.ceil(bytes / PIECE_BYTES));
  expect([entry.flags, bench.complaints]).toEqual([0, []]);
  for (let span = 0; span < entry.spanCount; span++) {
    const [pack, chunk, offset] = spansOf(entry).slice(span * SPAN_NUMBERS) as [number, number, number];
    expect(pack).toBe(PACK);
    const plain = bench.sink.chunks[chunk] as Uint8Array;
    const view = new DataView(plain.buffer);
    expect(plain.length).toBeLessThanOrEqual(CHUNK_PLAIN_BYTES_MAX);
    expect(view.getUint16(offset - PIECE_HEADER_BYTES + PIECE.pathHash, true)).toBe(pathHash(entry));
  }
});

test("TREE-09: small files share a chunk; their headers say whose they are", () => {
  const bench = new Bench();
  const entries = [..."abc"].map((letter) => bench.read(fileOf(letter.repeat(1000))));
  expect(entries.map(spansOf)).toEqual([
    [PACK, 0, 8, 1000],
    [PACK, 0, 1016, 1000],
    [PACK, 0, 2024, 1000],
  ]);
  expect(bench.stored).toBe(3);
  expect(bench.sink.chunks).toHaveLength(1);
});

test("TREE-02: what is expected and found again is not stored", () => {
  for (const bytes of [500, PIECE_BYTES, PIECE_BYTES + 1, 4 * PIECE_BYTES]) {
    const path = fileOf(noise(bytes, 1));
    const first = new Bench().read(path);
    const bench = new Bench();
    const again = bench.read(path, expecting(first));
    expect([spansOf(again), bench.stored]).toEqual([spansOf(first), 0]);
    expect(again.pieceHashes).toEqual(first.pieceHashes);
    expect(bench.reader.readBytes).toBe(bytes);
  }
});

test("TREE-09: of a large file with one changed page, one chunk is stored", () => {
  const content = noise(5 * PIECE_BYTES + 17, 2);
  const path = fileOf(content);
  const first = new Bench().read(path);
  content.fill(7, 2 * PIECE_BYTES + 4096, 2 * PIECE_BYTES + 8192);
  writeFileSync(path, content);
  const bench = new Bench();
  const entry = bench.read(path, expecting(first));
  expect(bench.stored).toBe(1);
  expect(bench.sink.chunks[0]?.length).toBe(PIECE_BYTES + PIECE_HEADER_BYTES);
  const spans = spansOf(entry);
  expect(spans.slice(8, 12)).toEqual([PACK, 0, 8, PIECE_BYTES]);
  expect([...spans.slice(0, 8), ...spans.slice(12)]).toEqual([
    ...spansOf(first).slice(0, 8),
    ...spansOf(first).slice(12),
  ]);
  expect(Buffer.from(entry.sha256).equals(Bun.SHA256.hash(content) as Uint8Array)).toBe(true);
});

test("TREE-09: a large file that grows or shrinks stores its new pieces only; one that gets small, itself", () => {
  const content = noise(4 * PIECE_BYTES, 3);
  const path = fileOf(content.subarray(0, 2 * PIECE_BYTES + 10));
  const first = new Bench().read(path);
  writeFileSync(path, content);
  const grown = new Bench();
  grown.read(path, expecting(first));
  expect(grown.stored).toBe(2);
  truncateSync(path, PIECE_BYTES + 1);
  const shrunk = new Bench();
  const entry = shrunk.read(path, expecting(first));
  expect([shrunk.stored, entry.spanCount, entry.sizeBytes]).toEqual([1, 2, PIECE_BYTES + 1]);
  truncateSync(path, PIECE_BYTES);
  const small = new Bench();
  small.expectWhole(small.read(path, expecting(first)), content.subarray(0, PIECE_BYTES));
});

function sparse(sizeBytes: number, data: readonly [at: number, bytes: number][]): [string, Buffer] {
  const path = join(folder, `file ${files++}`);
  const fd = openSync(path, "w");
  for (const [at, bytes] of data) writeSync(fd, noise(bytes, at + 1), 0, bytes, at);
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  return [path, readFileSync(path)];
}

test("TREE-06: holes of small files are holes, and what is around them is stored side by side", () => {
  const bench = new Bench();
  const [path, content] = sparse(100_000, [
    [8192, 4096],
    [40_960, 5000],
  ]);
  const entry = bench.read(path);
  bench.expectWhole(entry, content);
  expect(spansOf(entry)).toEqual([
    ...[0, 0, 0, 8192],
    ...[PACK, 0, 8, 4096],
    ...[0, 0, 0, 28_672],
    ...[PACK, 0, 4104, 8192],
    ...[0, 0, 0, 100_000 - 49_152],
  ]);
  expect(bench.sink.chunks[0]?.length).toBe(8 + 4096 + 8192);
  const again = new Bench();
  const unchanged = again.read(path, expecting(entry));
  expect([spansOf(unchanged), again.stored]).toEqual([spansOf(entry), 0]);
  const [empty, zeros] = sparse(50_000, []);
  const hole = bench.read(empty);
  bench.expectWhole(hole, zeros);
  expect(spansOf(hole)).toEqual([0, 0, 0, 50_000]);
});

test("TREE-06: holes of large files are holes; whole pieces of nothing take no chunk", () => {
  const size = 6 * PIECE_BYTES + 100;
  const [path, content] = sparse(size, [
    [0, 4096],
    [PIECE_BYTES - 4096, 8192],
    [4 * PIECE_BYTES + 8192, 12_288],
  ]);
  const bench = new Bench();
  const entry = bench.read(path);
  bench.expectWhole(entry, content);
  expect(bench.stored).toBe(3);
  expect([...(entry.pieceHashes ?? [])].map((hash) => hash === 0n)).toEqual([
    false,
    false,
    true,
    true,
    false,
    true,
    true,
  ]);
  for (let span = 0, at = 0; span < entry.spanCount; span++) {
    const bytes = entry.spans[span * SPAN_NUMBERS + 3] as number;
    expect(Math.floor(at / PIECE_BYTES)).toBe(Math.floor((at + bytes - 1) / PIECE_BYTES));
    at += bytes;
  }
  const again = new Bench();
  const same = again.read(path, expecting(entry));
  expect([spansOf(same), again.stored]).toEqual([spansOf(entry), 0]);
  // Zeros in place of a hole: another layout, the same bytes.
  const fd = openSync(path, "r+");
  writeSync(fd, new Uint8Array(4096), 0, 4096, 2 * PIECE_BYTES);
  closeSync(fd);
  const filled = new Bench();
  const other = filled.read(path, expecting(entry));
  expect(filled.stored).toBe(1);
  expect(Buffer.compare(other.sha256, entry.sha256)).toBe(0);
});

test.each([
  ["small", 1000],
  ["large", 2 * PIECE_BYTES + 1000],
])("TREE-02: a %s file that changes once while it is read is read again, and is whole", (_, bytes) => {
  const changes: ((path: string) => void)[] = [
    (path) => appendFileSync(path, "more"),
    (path) => truncateSync(path, bytes - 500),
    (path) => truncateSync(path, 1),
    (path) => truncateSync(path, 0),
    (path) => {
      writeFileSync(path, noise(bytes, 99));
      utimesSync(path, 1, 1);
    },
    (path) => appendFileSync(path, noise(PIECE_BYTES, 98)),
  ];
  for (const change of changes) {
    for (const isBefore of [true, false]) {
      const path = fileOf(noise(bytes, 4));
      const bench = new Bench();
      let places = 0;
      bench.filler.onPlace = () => {
        // Before the first byte is read, or in the middle of a large file.
        if (++places === (isBefore || bytes < PIECE_BYTES ? 1 : 2)) change(path);
      };
      const entry = bench.read(path);
      bench.filler.onPlace = null;
      bench.expectWhole(entry, readFileSync(path));
      expect([entry.flags, bench.complaints]).toEqual([0, []]);
      const seen = scanned(path);
      expect([entry.mtimeNs, entry.ctimeNs]).toEqual([seen.mtimeNs, seen.ctimeNs]);
    }
  }
});

test.each([
  ["small", 1000],
  ["large", PIECE_BYTES + 1000],
])("TREE-02: a %s file that changes all the time is stored as it was read last, and says so", (_, bytes) => {
  const changes: ((path: string, place: number) => void)[] = [
    (path) => appendFileSync(path, "more"),
    (path) => truncateSync(path, scanned(path).sizeBytes - 10),
    (path, place) => {
      // Two changes within one tick of the kernel's clock would look like none.
      writeFileSync(path, noise(bytes, place));
      utimesSync(path, place, place);
    },
    (path, place) => (place % 2 === 1 ? truncateSync(path, 0) : writeFileSync(path, noise(bytes, place))),
  ];
  for (const change of changes) {
    const path = fileOf(noise(bytes, 5));
    const bench = new Bench();
    let places = 0;
    bench.filler.onPlace = () => {
      if (places < 100) change(path, ++places);
    };
    const entry = bench.read(path);
    bench.filler.onPlace = null;
    expect(entry.flags).toBe(FLAG.inconsistent);
    expect(bench.complaints).toHaveLength(1);
    bench.expectWhole(entry, bench.contentOf(entry));
  }
});

test("TREE-02: a second reading of a large file stores what has changed, not all of it", () => {
  const path = fileOf(noise(8 * PIECE_BYTES, 6));
  const bench = new Bench();
  let places = 0;
  bench.filler.onPlace = () => {
    if (++places === 8) appendFileSync(path, "more");
  };
  const entry = bench.read(path);
  bench.filler.onPlace = null;
  bench.expectWhole(entry, readFileSync(path));
  expect(bench.stored).toBe(9);
});

test("TREE-02: what cannot be opened keeps the last backup's content, or has none", () => {
  const path = fileOf("the older text");
  const older = new Bench().read(path);
  writeFileSync(path, "a newer text, and longer");
  const bench = new Bench();
  bench.open = () => -13;
  const kept = bench.read(path, expecting(older));
  expect([kept.flags, kept.sizeBytes, spansOf(kept)]).toEqual([FLAG.unreadable, 14, spansOf(older)]);
  const none = bench.read(path);
  expect([none.flags, none.hasContent, none.spanCount]).toEqual([FLAG.unreadable, false, 0]);
  // A guess is no content.
  const guess = bench.read(path, expecting(older, FLAG.moved));
  expect([guess.flags, guess.hasContent]).toEqual([FLAG.unreadable, false]);
  expect(bench.complaints.map((text) => text.replace(/.*; /, ""))).toEqual([
    "the last backup's content is kept",
    "it is not in this backup",
    "it is not in this backup",
  ]);
});

test("TREE-02: a large file that fails in the middle does not spoil the next one", () => {
  const bench = new Bench();
  const good = noise(PIECE_BYTES + 5, 7);
  const path = fileOf(noise(2 * PIECE_BYTES, 8));
  const { open } = bench;
  // Reading goes on in a file that can be opened and not read: the memory of no process.
  bench.open = () => openSync("/proc/self/mem", "r");
  const entry = bench.read(path, (job) => {
    job.sizeBytes = 2 * PIECE_BYTES;
  });
  expect([entry.flags, entry.hasContent]).toEqual([FLAG.unreadable, false]);
  bench.open = open;
  bench.expectWhole(bench.read(fileOf(good)), good);
});

test("TREE-02: a file of somebody else's is read without O_NOATIME, and all after it", () => {
  const path = fileOf("not ours");
  const bench = new Bench();
  const { open } = bench;
  const flagged: boolean[] = [];
  bench.open = (entry, flags) => {
    const isFlagged = (flags & O_NOATIME) !== 0;
    flagged.push(isFlagged);
    return isFlagged ? -EPERM : open(entry, flags);
  };
  bench.expectWhole(bench.read(path), Buffer.from("not ours"));
  bench.read(path);
  expect(flagged).toEqual([true, false, false]);
  // What is not permitted either way says nothing about others.
  const other = new Bench();
  other.open = () => -EPERM;
  expect(other.read(path).flags).toBe(FLAG.unreadable);
});

test("reading leaves the access time alone", () => {
  const path = fileOf("looked at");
  utimesSync(path, 1000, 2000);
  const bench = new Bench();
  bench.expectWhole(bench.read(path), Buffer.from("looked at"));
  const statx = new Statx();
  statx.at(AT_FDCWD, new CPath().text(path));
  expect(statx.atimeSeconds).toBe(1000);
});

test("TREE-02: what is gone, or no longer a file, is not read", () => {
  const swaps: ((path: string) => void)[] = [
    () => {},
    (path) => symlinkSync(fileOf("a secret elsewhere"), path),
    (path) => mkdirSync(path),
    (path) => expect(mknodat(AT_FDCWD, new CPath().text(path), 0o010600, 0)).toBe(0),
  ];
  for (const bytes of [10, 2 * PIECE_BYTES]) {
    for (const swap of swaps) {
      const path = fileOf(noise(bytes, 9));
      const bench = new Bench();
      const entry = bench.read(path, () => {
        unlinkSync(path);
        swap(path);
      });
      expect([entry.flags & JOB_FLAG.gone, bench.stored, bench.complaints]).toEqual([JOB_FLAG.gone, 0, []]);
    }
  }
  const directory = join(folder, "directory");
  mkdirSync(directory);
  writeFileSync(join(directory, "in"), "x");
  const bench = new Bench();
  const entry = bench.read(join(directory, "in"), () => {
    renameSync(directory, `${directory} moved`);
    symlinkSync(`${directory} moved`, directory);
  });
  expect(entry.flags & JOB_FLAG.gone).toBe(JOB_FLAG.gone);
});

test("TREE-06: links, fifos, sockets and devices are never opened", () => {
  const fifo = join(folder, "fifo");
  expect(mknodat(AT_FDCWD, new CPath().text(fifo), 0o010600, 0)).toBe(0);
  const link = join(folder, "link");
  symlinkSync("nowhere", link);
  const bench = new Bench();
  bench.open = () => {
    throw new Error("opened");
  };
  for (const path of [fifo, link, "/dev/null"]) {
    const entry = bench.read(path);
    expect([entry.flags, entry.hasContent, entry.xattrs]).toEqual([0, false, null]);
  }
  unlinkSync(link);
  const gone = scanned(fifo);
  gone.setPath(Buffer.from(link.slice(1)));
  bench.reader.read(gone);
  expect(gone.flags).toBe(JOB_FLAG.gone);
});

test("TREE-06: a directory that cannot be opened keeps its last backup's attributes; one that is gone stays a place", () => {
  const path = join(folder, "closed");
  mkdirSync(path);
  const bench = new Bench();
  const { open } = bench;
  bench.open = () => -13;
  const old = Uint8Array.of(1);
  const entry = bench.read(path, (job) => {
    job.flags = FLAG.unreadable;
    job.xattrs = old;
  });
  expect([entry.flags, entry.xattrs]).toEqual([FLAG.unreadable, old]);
  bench.open = open;
  expect(bench.read(path, () => rmSync(path, { recursive: true })).flags).toBe(0);
});

test("TREE-02: what is trusted is not looked at", () => {
  const path = fileOf("known");
  const older = new Bench().read(path);
  const bench = new Bench();
  bench.open = () => {
    throw new Error("opened");
  };
  const entry = bench.read(path, expecting(older, JOB_FLAG.trusted | FLAG.moved));
  expect([entry.flags, spansOf(entry)]).toEqual([FLAG.moved, spansOf(older)]);
});

test("TREE-02: bytes that changed by themselves are rot; those that somebody wrote are a change", () => {
  for (const bytes of [1000, 2 * PIECE_BYTES + 1]) {
    const path = fileOf(noise(bytes, 10));
    const older = new Bench().read(path);
    writeFileSync(path, noise(bytes, 11));
    const bench = new Bench();
    const entry = bench.read(path, expecting(older, JOB_FLAG.settled));
    expect([entry.flags, spansOf(entry)]).toEqual([FLAG.rotten, spansOf(older)]);
    expect(Buffer.compare(entry.sha256, older.sha256)).toBe(0);
    expect(entry.pieceHashes).toEqual(older.pieceHashes);
    expect(bench.complaints).toHaveLength(1);
    // Written to between scan and reading.
    const written = new Bench();
    const changed = written.read(path, (job) => {
      expecting(older, JOB_FLAG.settled)(job);
      writeFileSync(path, noise(bytes + 1, 12));
    });
    expect(changed.flags).toBe(0);
    expect(written.complaints).toEqual([]);
    expect(changed.sizeBytes).toBe(bytes + 1);
  }
});

test("TREE-02: a guess by inode counts as moved only where the bytes are the same", () => {
  for (const bytes of [1000, PIECE_BYTES + 1]) {
    const path = fileOf(noise(bytes, 13));
    const older = new Bench().read(path);
    const bench = new Bench();
    const same = bench.read(path, expecting(older, FLAG.moved));
    expect([same.flags, spansOf(same)]).toEqual([FLAG.moved, spansOf(older)]);
    writeFileSync(path, noise(bytes, 14));
    const other = bench.read(path, expecting(older, FLAG.moved));
    expect(other.flags).toBe(0);
    bench.expectWhole(other, noise(bytes, 14));
  }
});

test("TREE-02: a file of several names that its name does not lead to any more is told", () => {
  const path = fileOf("one");
  linkSync(path, `${path} too`);
  const bench = new Bench();
  const key = (({ device, inodeHigh, inodeLow }) => `${device}:${inodeHigh}:${inodeLow}`)(scanned(path));
  bench.read(path);
  expect(bench.strays).toEqual([]);
  const replaced = bench.read(path, () => {
    unlinkSync(path);
    writeFileSync(path, "another");
  });
  bench.expectWhole(replaced, Buffer.from("another"));
  expect([bench.strays, replaced.links]).toEqual([[key], 1]);
  linkSync(path, `${path} three`);
  expect(bench.read(path, () => unlinkSync(path)).flags).toBe(JOB_FLAG.gone);
  expect(bench.strays).toHaveLength(2);
});

test("nothing is stored behind a fault, and the fault stays", () => {
  const bench = new Bench();
  const fault = { kind: "noSpace", text: "full" } as const;
  let flushes = 0;
  const filler = new ChunkFiller(
    PACK,
    {
      plainAt: 65536,
      chunk: 0,
      flush: () => {
        flushes++;
        return fault;
      },
    },
    memory,
  );
  filler.place(10);
  filler.keep(1, 10);
  filler.flush();
  filler.flush();
  filler.place(10);
  filler.keep(1, 10);
  filler.flush();
  expect([filler.fault, flushes]).toEqual([fault, 1]);
  expect(bench.stored).toBe(0);
});

test("a job's other kinds keep what they are", () => {
  const bench = new Bench();
  const directory = bench.read(folder);
  expect([directory.kind, directory.flags]).toEqual([KIND.directory, 0]);
});
