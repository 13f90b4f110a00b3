/** @module For tests: small archives made quickly. */
import { CODEC_TABLES_BYTES, type CodecName, CODEC_IDS } from "../codec/codec.ts";
import { present } from "../../base/assert.ts";
import { libc, O_CREAT, O_EXCL, O_RDWR, openFile } from "../../base/ffi.ts";
import { CHUNK_WRITER_BYTES, ChunkWriter } from "./chunk-writer.ts";
import { ArchiveFinisher, type Finished } from "./finisher.ts";
import { writeHeader } from "./header.ts";
import { ArchiveSpace } from "./space.ts";
import type { ArchiveExtra, ArchiveHeader } from "./types.ts";
import { createFrameRoom, type FrameRoom, Workspace } from "./workspace.ts";

export const NO_EXTRA: ArchiveExtra = { users: {}, groups: {}, counts: {}, errors: [] };

export function testHeader(number: number, codec: CodecName = "lz4"): ArchiveHeader {
  return {
    number,
    level: "monthly",
    parent: null,
    indexBase: null,
    computer: "here",
    machineId: "0123456789abcdef0123456789abcdef",
    roots: [new Uint8Array(Buffer.from("/src"))],
    startedAtMs: Date.UTC(2001, 0, 2, 3, 4, 5, 678),
    software: "understudy 0",
    codec,
    store: "5f0c0000-0000-4000-8000-000000000001",
    device: "disk",
    salt: 0x1234567890abcdefn + BigInt(number),
  };
}

/** A workspace for a ChunkWriter at CODEC_TABLES_BYTES. */
export function writerWorkspace(): Workspace {
  const pages = Math.ceil((CODEC_TABLES_BYTES + CHUNK_WRITER_BYTES) / 65536) + 1;
  return new Workspace(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }), 0);
}

/** An archive being made on one thread. */
export class TestArchive {
  readonly fd: number;
  readonly header: ArchiveHeader;
  readonly space: ArchiveSpace;
  readonly writer: ChunkWriter;
  readonly workspace = writerWorkspace();
  readonly room: FrameRoom = createFrameRoom();
  readonly finisher: ArchiveFinisher;

  constructor(path: string, header: ArchiveHeader = testHeader(1)) {
    this.header = header;
    this.fd = openFile(path, O_RDWR | O_CREAT | O_EXCL);
    const tail = writeHeader(this.fd, header, this.room);
    if (typeof tail !== "number") throw new Error(tail.text);
    this.space = ArchiveSpace.create(tail, 0);
    this.writer = new ChunkWriter({
      fd: this.fd,
      workspace: this.workspace,
      areaAt: Math.ceil(CODEC_TABLES_BYTES / 4096) * 4096,
      codec: CODEC_IDS[header.codec],
      space: this.space,
      salt: header.salt,
    });
    this.finisher = new ArchiveFinisher({ fd: this.fd, header, space: this.space, room: this.room });
  }

  /** A chunk of these plain bytes; its number. */
  chunk(plain: Uint8Array): number {
    this.workspace.bytes.set(plain, this.writer.plainAt);
    const written = this.writer.flush(plain.length);
    if (written.kind !== "written") throw new Error(written.text);
    return written.chunk;
  }

  /** Completes it with these index pages; `begin` has not been called. */
  finish(pages: readonly Uint8Array[], counts = { entries: 0, files: 0 }): Finished {
    this.begin();
    for (const page of pages) this.finisher.frame(page);
    return this.end(counts);
  }

  begin(): void {
    this.finisher.abandon(this.writer.takeAbandoned());
    this.finisher.addRows(this.writer.takeRows());
    const fault = this.finisher.begin();
    if (fault !== null) throw new Error(fault.text);
  }

  end(counts = { entries: 0, files: 0 }, changes: Uint8Array = new Uint8Array(0)): Finished {
    const done = this.finisher.finish({
      ...counts,
      finishedAtMs: this.header.startedAtMs + 1000,
      extra: NO_EXTRA,
      changes,
    });
    libc.close(this.fd);
    if (done.kind !== "finished") throw new Error(done.text);
    return present(done, "a finished archive");
  }
}

/** Bytes that no codec makes smaller, the same for the same seed. */
export function noise(bytes: number, seed: number): Uint8Array {
  const out = new Uint8Array(bytes);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    out[at] = state >>> 24;
  }
  return out;
}
