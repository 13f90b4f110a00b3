/** @module For tests: a FileReader and all that comes of it; chunks are kept in memory. */
import { expect } from "bun:test";
import { viewSharedMemory } from "../../base/memory.ts";
import { AT_FDCWD, CPath, Statx } from "../../base/files.ts";
import { CHUNK_PLAIN_BYTES_MAX, PIECE, PIECE_HEADER_BYTES, PIECE_MAGIC } from "../archive/layout.ts";
import { Entry, PIECE_BYTES, SPAN_NUMBERS } from "../entry.ts";
import { entryFromStatx } from "../scan/entries.ts";
import { TreeOpener } from "./access.ts";
import { ChunkFiller, type ChunkSink, SPARE_BYTES } from "./filler.ts";
import { FileReader } from "./reader.ts";

/** Number of the backup that all chunks belong to. */
export const PACK = 5;

const pages = Math.ceil((65536 + CHUNK_PLAIN_BYTES_MAX + SPARE_BYTES) / 65536) + 1;
export const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
const { bytes: memoryBytes, base } = viewSharedMemory(memory);

/** Chunks as they would be written. */
class MemorySink implements ChunkSink {
  readonly plainAt = 65536;
  readonly chunks: Uint8Array[] = [];

  get chunk(): number {
    return this.chunks.length;
  }

  flush(plainBytes: number) {
    this.chunks.push(memoryBytes.slice(this.plainAt, this.plainAt + plainBytes));
    return { kind: "written", chunk: this.chunk - 1, storedBytes: plainBytes } as const;
  }
}

class HookedFiller extends ChunkFiller {
  /** Called before anything is read to the place. */
  onPlace: (() => void) | null = null;

  override place(dataBytes: number): number {
    this.onPlace?.();
    return super.place(dataBytes);
  }
}

/** A reader, and all that comes of it. */
export class Bench {
  readonly sink = new MemorySink();
  readonly filler = new HookedFiller(PACK, this.sink, memory);
  readonly complaints: string[] = [];
  readonly strays: string[] = [];
  readonly #real = new TreeOpener();
  open = (entry: Entry, flags: number) => this.#real.open(entry, flags);
  readonly reader = new FileReader({
    opener: { open: (entry, flags) => this.open(entry, flags) },
    filler: this.filler,
    memory,
    base,
    complain: (_, text) => this.complaints.push(text),
    stray: (key) => this.strays.push(key),
  });

  /** Reads what the scan would list now; `before` gets the job's entry. */
  read(path: string, before: (entry: Entry) => void = () => {}): Entry {
    const entry = scanned(path);
    before(entry);
    this.reader.read(entry);
    return entry;
  }

  /** Pieces stored. */
  get stored(): number {
    this.filler.flush();
    let pieces = 0;
    for (const chunk of this.sink.chunks) {
      const view = new DataView(chunk.buffer);
      for (let at = 0; at < chunk.length; pieces++) {
        expect(view.getUint16(at + PIECE.magic, true)).toBe(PIECE_MAGIC);
        at += PIECE_HEADER_BYTES + view.getUint32(at + PIECE.dataBytes, true);
      }
    }
    return pieces;
  }

  contentOf(entry: Entry): Buffer {
    this.filler.flush();
    const parts: Uint8Array[] = [];
    for (let span = 0; span < entry.spanCount; span++) {
      const [pack, chunk, offset, length] = [...entry.spans.subarray(span * SPAN_NUMBERS)] as [
        number,
        number,
        number,
        number,
      ];
      if (pack === 0) parts.push(new Uint8Array(length));
      else parts.push((this.sink.chunks[chunk] as Uint8Array).subarray(offset, offset + length));
    }
    return Buffer.concat(parts);
  }

  /** The entry holds just these bytes, and its facts fit each other. */
  expectWhole(entry: Entry, content: Uint8Array): void {
    expect(entry.hasContent).toBe(true);
    expect(entry.sizeBytes).toBe(content.length);
    expect(this.contentOf(entry).equals(content)).toBe(true);
    expect(Buffer.from(entry.sha256).equals(Bun.SHA256.hash(content) as Uint8Array)).toBe(true);
    expect(entry.pieceHashes?.length ?? 0).toBe(
      content.length > PIECE_BYTES ? Math.ceil(content.length / PIECE_BYTES) : 0,
    );
    if (entry.pieceHashes === null) return;
    const holeless = [...entry.pieceHashes].every((hash, piece) => {
      const bytes = content.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES);
      return hash === Bun.hash.xxHash3(bytes) || hasHole(entry);
    });
    expect(holeless).toBe(true);
  }
}

function hasHole(entry: Entry): boolean {
  for (let span = 0; span < entry.spanCount; span++) if (entry.spans[span * SPAN_NUMBERS] === 0) return true;
  return false;
}

export const spansOf = (entry: Entry) => [...entry.spans.subarray(0, entry.spanCount * SPAN_NUMBERS)];

/** What the scan would list of a path now. */
export function scanned(path: string): Entry {
  const entry = new Entry();
  const statx = new Statx();
  expect(statx.at(AT_FDCWD, new CPath().text(path))).toBe(0);
  expect(entryFromStatx(entry, statx)).toBe(true);
  entry.setPath(Buffer.from(path.slice(1)));
  return entry;
}
