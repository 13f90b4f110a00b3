/** @module One thread's chunks: the archives that an index points into, opened when first needed, and the chunks unpacked
 *  last. A pack that cannot be opened is damage to those files that need it, and to no others. */
import { createFrameRoom, Workspace } from "../archive/workspace.ts";
import { ChunkCache, chunkCacheBytes } from "../archive/chunk-cache.ts";
import { damaged } from "../archive/faults.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import { salvageArchive } from "../archive/salvage.ts";
import type { ReadFault } from "../archive/types.ts";
import { CODEC_TABLES_BYTES } from "../codec/codec.ts";
import { PIECE_BYTES } from "../entry.ts";

/** Number of a pack and where its archive lies. */
export type PackPaths = ReadonlyMap<number, string>;

/** Files of one directory that changed at different times lie in as many packs; 8 MiB of them stay. */
const SLOTS = 32;
const PAGE_BYTES = 65536;

export class PackChunks {
  readonly workspace: Workspace;
  /** Offset of PIECE_BYTES in the workspace that are free for use. */
  readonly spareAt: number;
  readonly #paths: PackPaths;
  readonly #room = createFrameRoom();
  readonly #archives = new Map<number, ArchiveReader | ReadFault>();
  readonly #cache: ChunkCache;

  constructor(paths: PackPaths) {
    this.#paths = paths;
    const areaAt = Math.ceil(CODEC_TABLES_BYTES / PAGE_BYTES) * PAGE_BYTES;
    this.spareAt = areaAt + Math.ceil(chunkCacheBytes(SLOTS) / PAGE_BYTES) * PAGE_BYTES;
    const pages = (this.spareAt + PIECE_BYTES) / PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.workspace = new Workspace(memory, 0);
    this.#cache = new ChunkCache(this.workspace, areaAt, SLOTS, (pack) => this.#archiveOf(pack));
  }

  /** Offset in the workspace of a data span's first byte; it holds until the next call. */
  span(pack: number, chunk: number, offset: number, bytes: number): number | ReadFault {
    return this.#cache.span(pack, chunk, offset, bytes);
  }

  close(): void {
    for (const archive of this.#archives.values()) if (!("kind" in archive)) archive.close();
    this.#archives.clear();
  }

  #archiveOf(pack: number): ArchiveReader | ReadFault {
    const known = this.#archives.get(pack);
    if (known !== undefined) return known;
    const opened = this.#open(pack);
    this.#archives.set(pack, opened);
    return opened;
  }

  #open(pack: number): ArchiveReader | ReadFault {
    const path = this.#paths.get(pack);
    if (path === undefined) return damaged(`the store has no archive of backup ${pack}`);
    const result = salvageArchive(path, this.#room);
    switch (result.kind) {
      case "archive":
        if (result.archive.pack === pack) return result.archive;
        result.archive.close();
        return damaged(`${path} is not the archive of backup ${pack}`);
      case "ioError":
        return result;
      default:
        return damaged(`${path}: ${result.text}`);
    }
  }
}
