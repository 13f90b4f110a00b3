/** @module Opens archives of which the header or the footer is damaged: what either says can be had elsewhere, so no
 *  flipped bit costs more than the files it is in.
 *  (1) A header is taken from its copy in the extra section, a footer from the frames themselves. With neither, the
 *      archive is lost.
 *  (2) What was mended is told in `repairs`: the archive is damaged all the same. Nothing is written. */
import { libc, O_RDONLY, openFile } from "../../base/ffi.ts";
import { decodeExtra } from "./extra.ts";
import { fileBytes, readFully } from "./files.ts";
import { decodeFooter } from "./footer.ts";
import { readFrame, Seal } from "./frame.ts";
import { type FoundFrame, scanFrames } from "./frame-scan.ts";
import { headerFromText, readHeader } from "./header.ts";
import {
  aligned,
  FOOTER_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  FRAME_PLAIN_BYTES_MAX,
  HEADER_BLOCK_BYTES,
  ROW_BYTES,
} from "./layout.ts";
import { ArchiveReader, openArchive } from "./reader.ts";
import type { ArchiveFooter, OpenFault, Section } from "./types.ts";
import type { FrameRoom } from "./workspace.ts";

/** As openArchive, but mends what can be mended; the fault is then the one that openArchive found. */
export function salvageArchive(
  path: string,
  room: FrameRoom,
): { kind: "archive"; archive: ArchiveReader } | OpenFault {
  const opened = openArchive(path, room);
  if (opened.kind === "archive" || opened.kind === "ioError") return opened;
  const fd = openFile(path, O_RDONLY);
  if (fd < 0) return opened;
  const archive = mend(fd, path, room, opened);
  if (archive === null) libc.close(fd);
  return archive === null ? opened : { kind: "archive", archive };
}

function mend(fd: number, path: string, room: FrameRoom, fault: OpenFault): ArchiveReader | null {
  const sizeBytes = fileBytes(fd);
  if (sizeBytes < HEADER_BLOCK_BYTES + FOOTER_BYTES) return null;
  const read = readHeader(fd, room);
  const repairs = [fault.text];
  if (read.kind === "header") {
    const footer = footerFromFrames(
      fd,
      sizeBytes,
      read.header.salt,
      read.header.number,
      read.block.length,
      room,
    );
    if (footer === null) return null;
    return new ArchiveReader(fd, path, sizeBytes, read.header, read.block, footer, room, repairs);
  }
  const { workspace, plainAt } = room;
  if (readFully(fd, workspace.base + plainAt, FOOTER_BYTES, sizeBytes - FOOTER_BYTES) < FOOTER_BYTES)
    return null;
  const bytes = workspace.bytes.slice(plainAt, plainAt + FOOTER_BYTES);
  const footer = decodeFooter(bytes, sizeBytes, HEADER_BLOCK_BYTES);
  if ("kind" in footer) return null;
  const extra = decodeExtra(extraOf(fd, footer, room));
  const copy = extra === null ? null : headerFromText(extra.header);
  if (copy === null || copy.header.salt !== footer.salt || copy.header.number !== footer.number) return null;
  return new ArchiveReader(fd, path, sizeBytes, copy.header, copy.block, footer, room, repairs);
}

/** Plain bytes of the extra section, as far as its frames are whole. */
function extraOf(fd: number, footer: ArchiveFooter, room: FrameRoom): Uint8Array {
  const { workspace, storedAt, plainAt } = room;
  const { offset, bytes } = footer.extra;
  const seal = new Seal(footer.salt);
  const parts: Uint8Array[] = [];
  for (const frame of [...scanFrames(fd, seal, workspace, storedAt, offset, offset + bytes)]) {
    if (frame.kind !== FRAME_KIND.extra || frame.number !== parts.length) break;
    const expected = { ...frame, kind: FRAME_KIND.extra };
    if (readFrame(workspace, fd, seal, expected, storedAt, plainAt) !== null) break;
    parts.push(workspace.bytes.slice(plainAt, plainAt + frame.plainBytes));
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** null: there is no whole extra section, so the archive was never finished. */
function footerFromFrames(
  fd: number,
  sizeBytes: number,
  salt: bigint,
  number: number,
  from: number,
  room: FrameRoom,
): ArchiveFooter | null {
  const { workspace, storedAt } = room;
  const sections = new Map<number, { offset: number; end: number; frames: number; plainBytes: number }>();
  let end = from;
  let [plainBytes, storedBytes, chunks] = [0, 0, 0];
  for (const frame of scanFrames(fd, new Seal(salt), workspace, storedAt, from, sizeBytes)) {
    if (frame.plainBytes > FRAME_PLAIN_BYTES_MAX || frame.storedBytes > frame.plainBytes) continue;
    end = frameEnd(frame);
    const section = sections.get(frame.kind) ?? { offset: frame.offset, end, frames: 0, plainBytes: 0 };
    section.end = end;
    section.frames = frame.number + 1;
    section.plainBytes += frame.plainBytes;
    sections.set(frame.kind, section);
    if (frame.kind !== FRAME_KIND.chunk) continue;
    chunks = Math.max(chunks, frame.number + 1);
    plainBytes += frame.plainBytes;
    storedBytes += frame.storedBytes;
  }
  const extra = sections.get(FRAME_KIND.extra);
  if (extra === undefined || extra.end !== end || end > sizeBytes) return null;
  // Sections follow each other: where a frame's header is damaged, its neighbours tell where it was.
  const index = sections.get(FRAME_KIND.index);
  const table = sections.get(FRAME_KIND.table);
  const indexFrom = table?.end ?? index?.offset ?? extra.offset;
  const section = (offset: number, to: number, frames = 0): Section => ({
    offset,
    bytes: to - offset,
    frames,
  });
  return {
    number,
    salt,
    table: section(table?.offset ?? indexFrom, indexFrom, table?.frames),
    index: section(indexFrom, extra.offset, index?.frames),
    extra: section(extra.offset, end, extra.frames),
    entries: 0,
    chunks: Math.max(chunks, Math.floor((table?.plainBytes ?? 0) / ROW_BYTES)),
    files: 0,
    plainBytes,
    storedBytes,
    finishedAtMs: 0,
    root: new Uint8Array(32),
  };
}

function frameEnd(frame: FoundFrame): number {
  return frame.offset + aligned(FRAME_HEADER_BYTES + frame.storedBytes);
}
