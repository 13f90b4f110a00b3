/** @module A Worker that writes chunks, for archive-threads.test.ts. */
import { CHUNK_WRITER_BYTES, ChunkWriter } from "../../src/backup/archive/chunk-writer.ts";
import { ArchiveSpace } from "../../src/backup/archive/space.ts";
import { Workspace } from "../../src/backup/archive/workspace.ts";
import { CODEC_TABLES_BYTES } from "../../src/backup/codec/codec.ts";
import { O_RDWR, openFile } from "../../src/base/ffi.ts";

export interface ChunkJob {
  readonly path: string;
  readonly space: SharedArrayBuffer;
  readonly salt: bigint;
  readonly seed: number;
  readonly chunks: number;
}

export interface ChunkAnswer {
  readonly rows: Uint8Array;
  /** Chunk number and hash of what was put into it. */
  readonly written: readonly (readonly [chunk: number, hash: bigint])[];
}

declare const self: Worker;

self.onmessage = (event: MessageEvent<ChunkJob>) => {
  const { path, space, salt, seed, chunks } = event.data;
  const areaAt = Math.ceil(CODEC_TABLES_BYTES / 4096) * 4096;
  const pages = Math.ceil((areaAt + CHUNK_WRITER_BYTES) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const workspace = new Workspace(memory, 0);
  const fd = openFile(path, O_RDWR);
  const writer = new ChunkWriter({ fd, workspace, areaAt, codec: 1, space: new ArchiveSpace(space), salt });
  const written: [number, bigint][] = [];
  let state = seed;
  for (let chunk = 0; chunk < chunks; chunk++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const bytes = 1 + ((state >>> 8) % writer.room);
    for (let at = 0; at < bytes; at += 7)
      workspace.bytes[writer.plainAt + at] = at % 5 === 0 ? state >>> 16 : at;
    const outcome = writer.flush(bytes);
    if (outcome.kind !== "written") throw new Error(outcome.text);
    written.push([outcome.chunk, workspace.hash(writer.plainAt, bytes)]);
  }
  const answer: ChunkAnswer = { rows: writer.takeRows(), written };
  self.postMessage(answer);
};
