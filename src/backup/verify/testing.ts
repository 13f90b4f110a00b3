/** @module For tests: backups made of files in memory, as a run makes them, on one thread. */
import { pathHash16, writePieceHeader } from "../archive/chunk-writer.ts";
import { CHUNK_PLAIN_BYTES_MAX, PIECE_HEADER_BYTES } from "../archive/layout.ts";
import { salvageArchive } from "../archive/salvage.ts";
import { noise, TestArchive, testHeader } from "../archive/testing.ts";
import type { ArchiveHeader } from "../archive/types.ts";
import { createFrameRoom } from "../archive/workspace.ts";
import { comparePaths, Entry, type EntrySource, FLAG, KIND, PIECE_BYTES } from "../entry.ts";
import { FullIndexWriter } from "../index/full.ts";
import { openIndex } from "../index/lookup.ts";

/** A file's content: data and holes (numbers of bytes) in turn. */
export type Runs = readonly (Uint8Array | number)[];

/** Files side by side in chunks, larger ones in pieces of their own. */
export class TestBackup {
  readonly archive: TestArchive;
  readonly entries: Entry[] = [];
  readonly #pack: number;
  #used = 0;

  constructor(path: string, header: ArchiveHeader) {
    this.archive = new TestArchive(path, header);
    this.#pack = header.number;
  }

  /** `path`: as in Entry. */
  file(path: string | Uint8Array, runs: Runs, change: (entry: Entry) => void = () => {}): Entry {
    const entry = this.entry(path, KIND.file);
    const content = Buffer.concat(runs.map((run) => (typeof run === "number" ? new Uint8Array(run) : run)));
    entry.sizeBytes = content.length;
    entry.hasContent = true;
    entry.sha256.set(Bun.SHA256.hash(content) as Uint8Array);
    const hashes: bigint[] = [];
    for (let at = 0; at < content.length; at += PIECE_BYTES)
      hashes.push(this.#piece(entry, runs, at, Math.min(PIECE_BYTES, content.length - at)));
    if (content.length > PIECE_BYTES) entry.pieceHashes = BigUint64Array.from(hashes);
    change(entry);
    return entry;
  }

  /** Anything else. */
  entry(path: string | Uint8Array, kind: Entry["kind"]): Entry {
    const entry = new Entry();
    entry.setPath(typeof path === "string" ? Buffer.from(path) : path);
    entry.kind = kind;
    entry.mode = kind === KIND.directory ? 0o755 : 0o644;
    entry.mtimeSeconds = 1_000_000_000 + this.entries.length;
    entry.mtimeNs = 123_456_789;
    this.entries.push(entry);
    return entry;
  }

  /** Runs of [from, from + bytes) of the file. */
  #piece(entry: Entry, runs: Runs, from: number, bytes: number): bigint {
    const parts: (Uint8Array | number)[] = [];
    let position = 0;
    for (const run of runs) {
      const length = typeof run === "number" ? run : run.length;
      const [start, end] = [Math.max(from, position), Math.min(from + bytes, position + length)];
      if (end > start)
        parts.push(typeof run === "number" ? end - start : run.subarray(start - position, end - position));
      position += length;
    }
    const data = Buffer.concat(parts.filter((part) => typeof part !== "number"));
    const at = this.#begin(entry, data);
    let offset = at;
    for (const part of parts) {
      if (typeof part === "number") entry.addSpan(0, 0, 0, part);
      else {
        entry.addSpan(this.#pack, this.archive.writer.chunk, offset, part.length);
        offset += part.length;
      }
    }
    return data.length === 0 ? 0n : BigInt(Bun.hash.xxHash3(data));
  }

  #begin(entry: Entry, data: Uint8Array): number {
    if (data.length === 0) return 0;
    if (this.#used + PIECE_HEADER_BYTES + data.length > CHUNK_PLAIN_BYTES_MAX) this.flush();
    const { writer, workspace } = this.archive;
    const header = writer.plainAt + this.#used;
    writePieceHeader(
      workspace.view,
      header,
      pathHash16(entry.path.subarray(0, entry.pathBytes)),
      data.length,
    );
    workspace.bytes.set(data, header + PIECE_HEADER_BYTES);
    const offset = this.#used + PIECE_HEADER_BYTES;
    this.#used = offset + data.length;
    return offset;
  }

  flush(): void {
    if (this.#used === 0) return;
    const written = this.archive.writer.flush(this.#used);
    if (written.kind !== "written") throw new Error(written.text);
    this.#used = 0;
  }

  /** Completes the archive with a full index. */
  finish(): void {
    this.flush();
    this.archive.begin();
    const index = new FullIndexWriter(this.archive.finisher);
    this.entries.sort((a, b) => comparePaths(a.path, a.pathBytes, b.path, b.pathBytes));
    for (const entry of this.entries) index.add(entry);
    index.finish();
    this.archive.end({
      entries: this.entries.length,
      files: this.entries.filter((entry) => entry.kind === KIND.file).length,
    });
  }
}

/** Entries of an archive with a full index. The archive stays open. */
export function indexOf(path: string): () => EntrySource {
  const room = createFrameRoom();
  return () => {
    const opened = salvageArchive(path, room);
    if (opened.kind !== "archive") throw new Error(opened.text);
    return openIndex([opened.archive.indexPages()]).cursor();
  };
}

/** Text that packs well. */
export function words(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.from("some words, again and again; ".repeat(bytes / 29 + 1))).subarray(
    0,
    bytes,
  );
}

/** Small files, empty ones, holes, files of several chunks, a tail that shares its chunk. */
export function sampleBackup(path: string, codec: "none" | "lz4" = "lz4"): TestBackup {
  const backup = new TestBackup(path, testHeader(5, codec));
  backup.entry("", KIND.directory);
  for (let file = 0; file < 60; file++)
    backup.file(`small/${file}`, [file % 2 ? words(3000 + file) : noise(2000 + file, file)]);
  backup.file("empty", []);
  backup.file("holes", [100_000, words(5000), 50_000, noise(3000, 1), 7]);
  backup.file("nothing but a hole", [300_000]);
  backup.file("large", [noise(700_000, 2)]);
  backup.file("large with holes", [words(200_000), 400_000, words(100_000), 10, noise(200_000, 3)]);
  backup.file("small/last", [words(4000)]);
  backup.file("small/linked", [words(400)], (entry) => {
    entry.links = 2;
  });
  const moved = backup.entry("moved", KIND.file);
  moved.takeContent(backup.entries[7] as (typeof backup.entries)[0]);
  moved.sizeBytes = (backup.entries[7] as (typeof backup.entries)[0]).sizeBytes;
  moved.flags = FLAG.moved;
  backup.finish();
  return backup;
}
