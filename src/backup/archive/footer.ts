/** @module The last 512 bytes of a complete archive: where everything is, how much, and the hash over all that names
 *  hashes (so that root, chunk table, chunks, index and files hang together). */
import {
  ARCHIVE_VERSION,
  FOOTER,
  FOOTER_BYTES,
  FOOTER_MAGIC,
  FRAME_HEADER_BYTES,
  MAGIC_BYTES,
  TABLE_FRAME_ROWS,
} from "./layout.ts";
import { getU64, setU64 } from "./chunk-table.ts";
import { damaged } from "./faults.ts";
import type { ArchiveFooter, OpenFault, Section } from "./types.ts";

export function encodeFooter(footer: ArchiveFooter): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(Buffer.from(FOOTER_MAGIC, "latin1"));
  view.setUint32(FOOTER.version, ARCHIVE_VERSION, true);
  const section = (at: number, bytesAt: number, framesAt: number, { offset, bytes, frames }: Section) => {
    setU64(view, at, offset);
    setU64(view, bytesAt, bytes);
    view.setUint32(framesAt, frames, true);
  };
  section(FOOTER.tableOffset, FOOTER.tableBytes, FOOTER.tableFrames, footer.table);
  section(FOOTER.indexOffset, FOOTER.indexBytes, FOOTER.indexFrames, footer.index);
  section(FOOTER.extraOffset, FOOTER.extraBytes, FOOTER.extraFrames, footer.extra);
  setU64(view, FOOTER.entries, footer.entries);
  setU64(view, FOOTER.chunks, footer.chunks);
  setU64(view, FOOTER.files, footer.files);
  setU64(view, FOOTER.plainBytes, footer.plainBytes);
  setU64(view, FOOTER.storedBytes, footer.storedBytes);
  setU64(view, FOOTER.finishedAtMs, footer.finishedAtMs);
  bytes.set(footer.root, FOOTER.root);
  view.setBigUint64(FOOTER.salt, footer.salt, true);
  setU64(view, FOOTER.number, footer.number);
  view.setBigUint64(FOOTER.hash, BigInt(Bun.hash.xxHash3(bytes.subarray(0, FOOTER.hash))), true);
  return bytes;
}

/** `bytes`: the last FOOTER_BYTES of a file of `sizeBytes`, whose header block has `headerBytes`. */
export function decodeFooter(
  bytes: Uint8Array<ArrayBuffer>,
  sizeBytes: number,
  headerBytes: number,
): ArchiveFooter | OpenFault {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = Buffer.from(bytes.subarray(0, MAGIC_BYTES)).toString("latin1");
  const hash = BigInt(Bun.hash.xxHash3(bytes.subarray(0, FOOTER.hash)));
  const whole = hash === view.getBigUint64(FOOTER.hash, true);
  if (magic !== FOOTER_MAGIC && !whole)
    return {
      kind: "incomplete",
      text: "the archive ends without a footer: it was never finished, or is cut",
    };
  if (!whole || magic !== FOOTER_MAGIC) return damaged("the footer does not fit its hash");
  const version = view.getUint32(FOOTER.version, true);
  if (version !== ARCHIVE_VERSION)
    return { kind: "unknownVersion", version, text: `the archive's footer is version ${version}` };
  const section = (at: number, bytesAt: number, framesAt: number): Section => ({
    offset: getU64(view, at),
    bytes: getU64(view, bytesAt),
    frames: view.getUint32(framesAt, true),
  });
  const table = section(FOOTER.tableOffset, FOOTER.tableBytes, FOOTER.tableFrames);
  const index = section(FOOTER.indexOffset, FOOTER.indexBytes, FOOTER.indexFrames);
  const extra = section(FOOTER.extraOffset, FOOTER.extraBytes, FOOTER.extraFrames);
  const together =
    table.offset >= headerBytes &&
    index.offset === table.offset + table.bytes &&
    extra.offset === index.offset + index.bytes &&
    extra.offset + extra.bytes === sizeBytes - FOOTER_BYTES;
  if (!together) return damaged("the file is not as long as its footer says");
  // Lists of these lengths will be made.
  const possible =
    [table, index, extra].every(({ bytes, frames }) => frames * FRAME_HEADER_BYTES <= bytes) &&
    getU64(view, FOOTER.chunks) <= table.frames * TABLE_FRAME_ROWS;
  if (!possible) return damaged("the footer counts more than there is room for");
  return {
    number: getU64(view, FOOTER.number),
    salt: view.getBigUint64(FOOTER.salt, true),
    table,
    index,
    extra,
    entries: getU64(view, FOOTER.entries),
    chunks: getU64(view, FOOTER.chunks),
    files: getU64(view, FOOTER.files),
    plainBytes: getU64(view, FOOTER.plainBytes),
    storedBytes: getU64(view, FOOTER.storedBytes),
    finishedAtMs: getU64(view, FOOTER.finishedAtMs),
    root: bytes.slice(FOOTER.root, FOOTER.root + 32),
  };
}
