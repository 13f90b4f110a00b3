/** @module For tests of stores: backups of small made-up trees, written as a run writes them and read as a restore reads
 *  them, without scanning anything. Each file is one chunk, so that packs have something to fold. */
import { closeSync, openSync } from "node:fs";
import { assert, present } from "../../base/assert.ts";
import { ChunkWriter, CHUNK_WRITER_BYTES, pathHash16, writePieceHeader } from "../archive/chunk-writer.ts";
import { ArchiveFinisher } from "../archive/finisher.ts";
import { newSalt, writeHeader } from "../archive/header.ts";
import { CHUNK_PLAIN_BYTES_MAX, FRAME_HEADER_BYTES, PIECE_HEADER_BYTES } from "../archive/layout.ts";
import { ArchiveSpace } from "../archive/space.ts";
import type { ArchiveHeader } from "../archive/types.ts";
import { createFrameRoom, Workspace } from "../archive/workspace.ts";
import { CODEC_IDS, CODEC_TABLES_BYTES } from "../codec/codec.ts";
import { comparePaths, Entry, FLAG } from "../entry.ts";
import { DeltaIndexWriter } from "../index/delta.ts";
import { FullIndexWriter } from "../index/full.ts";
import type { Level } from "../../plan/tree.ts";
import {
  type BackupNode,
  type Computer,
  isFault,
  type PartialRun,
  type ReadableStore,
  type StoreFault,
  type WritableStore,
} from "./contract.ts";

export const TEST_COMPUTER: Computer = { name: "testbed", machineId: "0123456789abcdef0123456789abcdef" };

/** Path (of plain letters) to content. */
export type Files = ReadonlyMap<string, Uint8Array>;

export interface NewBackup {
  readonly level: Level;
  /** As `store.node(parent)` was when it was chosen. */
  readonly parent: number | null;
  readonly files: Files;
  /** A difference to the parent's index. */
  readonly delta: boolean;
  readonly atMs?: number;
  /** Marked as verified once it is committed; default true. */
  readonly verified?: boolean;
  readonly store?: string;
}

const room = createFrameRoom();
const PAGE = 65536;
const areaAt = Math.ceil(CODEC_TABLES_BYTES / PAGE) * PAGE;
const bytes = areaAt + CHUNK_WRITER_BYTES;
const memory = new WebAssembly.Memory({
  initial: Math.ceil(bytes / PAGE),
  maximum: Math.ceil(bytes / PAGE),
  shared: true,
});
const workspace = new Workspace(memory, 0);

export function sha256(content: Uint8Array): Uint8Array {
  const digest = new Uint8Array(32);
  Bun.SHA256.hash(content, digest);
  return digest;
}

/** Writes the run's archive; it is complete, and not committed. */
export function writeRun(store: WritableStore, run: PartialRun, backup: NewBackup): void {
  const { level, parent, files, delta, atMs = 0 } = backup;
  const header: ArchiveHeader = {
    number: run.number,
    level,
    parent,
    indexBase: delta ? parent : null,
    computer: TEST_COMPUTER.name,
    machineId: TEST_COMPUTER.machineId,
    roots: [new TextEncoder().encode("/")],
    startedAtMs: atMs,
    software: "test",
    codec: "none",
    store: backup.store ?? store.identity.id,
    device: "test",
    salt: newSalt(),
  };
  const fd = openSync(run.archivePath, "w+", 0o600);
  try {
    const headerBytes = writeHeader(fd, header, room);
    assert(typeof headerBytes === "number", "the header is written");
    const space = ArchiveSpace.create(headerBytes, 0);
    const writer = new ChunkWriter({
      fd,
      workspace,
      areaAt,
      codec: CODEC_IDS.none,
      space,
      salt: header.salt,
    });
    const older = parent === null ? new Map<string, Entry>() : entriesOf(store, parent);
    const entries = [...files].map(([path, content]) => {
      const entry = new Entry();
      entry.setPath(new TextEncoder().encode(path));
      entry.sizeBytes = content.length;
      entry.sha256.set(sha256(content));
      entry.hasContent = true;
      const before = older.get(path);
      if (before !== undefined && Buffer.compare(before.sha256, entry.sha256) === 0) {
        entry.takeContent(before);
        entry.flags = FLAG.unchanged;
      } else {
        assert(content.length <= CHUNK_PLAIN_BYTES_MAX - PIECE_HEADER_BYTES, "one chunk a file");
        writePieceHeader(
          workspace.view,
          writer.plainAt,
          pathHash16(entry.path.slice(0, entry.pathBytes)),
          content.length,
        );
        workspace.bytes.set(content, writer.plainAt + PIECE_HEADER_BYTES);
        const written = writer.flush(PIECE_HEADER_BYTES + content.length);
        if (written.kind !== "written") throw new Error(written.text);
        entry.addSpan(run.number, written.chunk, PIECE_HEADER_BYTES, content.length);
      }
      return entry;
    });
    entries.sort((a, b) => comparePaths(a.path, a.pathBytes, b.path, b.pathBytes));
    const finisher = new ArchiveFinisher({ fd, header, space, room });
    finisher.addRows(writer.takeRows());
    finisher.begin();
    if (delta && parent !== null) writeDelta(finisher, store, parent, entries);
    else {
      const index = new FullIndexWriter(finisher);
      for (const entry of entries) index.add(entry);
      index.finish();
    }
    const extra = { users: {}, groups: {}, counts: {}, errors: [] };
    const finished = finisher.finish({
      entries: entries.length,
      files: entries.length,
      finishedAtMs: atMs,
      extra,
      changes: new Uint8Array(0),
    });
    if (finished.kind !== "finished") throw new Error(finished.text);
  } finally {
    closeSync(fd);
  }
}

function writeDelta(
  finisher: ArchiveFinisher,
  store: ReadableStore,
  parent: number,
  entries: readonly Entry[],
): void {
  const index = store.indexOf(parent);
  if (isFault(index)) throw new Error(index.text);
  const writer = new DeltaIndexWriter(finisher);
  const base = index.cursor();
  const before = new Entry();
  let more = base.next(before);
  for (const entry of entries) {
    while (more && comparePaths(before.path, before.pathBytes, entry.path, entry.pathBytes) < 0) {
      writer.drop(1);
      more = base.next(before);
    }
    const same = more && comparePaths(before.path, before.pathBytes, entry.path, entry.pathBytes) === 0;
    if (same && Buffer.compare(before.sha256, entry.sha256) === 0) writer.copy(1);
    else {
      if (same) writer.drop(1);
      writer.insert(entry);
    }
    if (same) more = base.next(before);
  }
  for (; more; more = base.next(before)) writer.drop(1);
  writer.finish();
}

/** A whole run. Throws where a store for tests should not fail. */
export function makeBackup(store: WritableStore, backup: NewBackup): BackupNode {
  const run = good(store.beginRun());
  writeRun(store, run, backup);
  const node = good(store.commitRun(run));
  if (backup.verified === false) return node;
  return good(store.mark(node.number, { verified: { atMs: backup.atMs ?? 0, level: "full" } }));
}

export function good<T>(value: T | StoreFault): T {
  if (isFault(value)) throw new Error(value.text);
  return value;
}

function entriesOf(store: ReadableStore, number: number): Map<string, Entry> {
  const cursor = good(store.indexOf(number)).cursor();
  const found = new Map<string, Entry>();
  for (let entry = new Entry(); cursor.next(entry); entry = new Entry()) {
    found.set(new TextDecoder().decode(entry.path.subarray(0, entry.pathBytes)), entry);
  }
  return found;
}

/** All files of a backup, read back and checked; throws where one cannot be restored. */
export function readBackup(store: ReadableStore, number: number): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const plainAt = areaAt + FRAME_HEADER_BYTES + Math.ceil(CHUNK_PLAIN_BYTES_MAX / 64) * 64;
  for (const [path, entry] of entriesOf(store, number)) {
    const content = new Uint8Array(entry.sizeBytes);
    let at = 0;
    for (let span = 0; span < entry.spanCount; span++) {
      const [pack, chunk, offset, length] = entry.spans.subarray(span * 4, span * 4 + 4);
      const reader = good(store.readerOf(present(pack, "pack")));
      const plain = reader.readChunk(present(chunk, "chunk"), workspace, areaAt, plainAt);
      if (typeof plain !== "number") throw new Error(`backup ${number}, ${path}: ${plain.text}`);
      const from = plainAt + present(offset, "offset");
      content.set(workspace.bytes.subarray(from, from + present(length, "length")), at);
      at += present(length, "length");
    }
    assert(Buffer.compare(sha256(content), entry.sha256) === 0, `backup ${number}, ${path}: its hash fits`);
    files.set(path, content);
  }
  return files;
}

/** Bytes that do not compress, the same for the same seed. */
export function noise(seed: number, length: number): Uint8Array {
  const content = new Uint8Array(length);
  const view = new DataView(content.buffer);
  let state = BigInt(seed) + 1n;
  for (let at = 0; at + 8 <= length; at += 8) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    view.setBigUint64(at, state ^ (state >> 29n), true);
  }
  return content;
}
