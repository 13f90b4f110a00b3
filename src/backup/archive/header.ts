/** @module The header block: who was backed up, by what, when, and onto what. Written before the first chunk. */
import { z } from "zod";
import { pwriteFully } from "../../base/ffi.ts";
import { damaged, ioError, writeFault } from "./faults.ts";
import { readFully } from "./files.ts";
import {
  ARCHIVE_VERSION,
  HEADER,
  HEADER_BLOCK_BYTES,
  HEADER_MAGIC,
  headerBlockBytes,
  MAGIC_BYTES,
} from "./layout.ts";
import { pathFromJson, pathToJson } from "./names.ts";
import type { ArchiveHeader, OpenFault, WriteFault } from "./types.ts";
import type { FrameRoom } from "./workspace.ts";

/** Roots and selection are people's doing: no more than this. */
const HEADER_BYTES_MAX = 1024 * 1024;

const number = z.number().int().positive();
const schema = z.object({
  number,
  level: z.enum(["monthly", "weekly", "daily", "micro"]),
  parent: number.nullable(),
  indexBase: number.nullable(),
  computer: z.string(),
  machineId: z.string(),
  roots: z.array(z.union([z.string(), z.object({ b64: z.string() })])),
  startedAt: z.iso.datetime(),
  software: z.string(),
  codec: z.enum(["none", "lz4", "zstd"]),
  store: z.string(),
  device: z.string(),
  salt: z.string().regex(/^[0-9a-f]{16}$/),
  selection: z.unknown().optional(),
});

export function newSalt(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n;
}

/** The whole block, as it stands at the beginning of the file. */
export function encodeHeader(header: ArchiveHeader): Uint8Array {
  const { startedAtMs, roots, salt, ...plain } = header;
  const json = Buffer.from(
    JSON.stringify({
      ...plain,
      roots: roots.map(pathToJson),
      startedAt: new Date(startedAtMs).toISOString(),
      salt: salt.toString(16).padStart(16, "0"),
    }),
  );
  return blockOf(json);
}

function blockOf(json: Buffer): Uint8Array {
  const block = new Uint8Array(headerBlockBytes(json.length));
  const view = new DataView(block.buffer);
  block.set(Buffer.from(HEADER_MAGIC, "latin1"));
  view.setUint32(HEADER.version, ARCHIVE_VERSION, true);
  view.setUint32(HEADER.jsonBytes, json.length, true);
  view.setBigUint64(HEADER.jsonHash, BigInt(Bun.hash.xxHash3(json)), true);
  block.set(json, HEADER.json);
  return block;
}

/** The JSON text within a block. */
export function headerText(block: Uint8Array): string {
  const jsonBytes = new DataView(block.buffer, block.byteOffset).getUint32(HEADER.jsonBytes, true);
  return Buffer.from(block.subarray(HEADER.json, HEADER.json + jsonBytes)).toString("utf8");
}

/** The header and its block of a text that `headerText` gave; null: it is none. */
export function headerFromText(text: string): { header: ArchiveHeader; block: Uint8Array } | null {
  const json = Buffer.from(text);
  const header = parseHeader(json);
  return header === null ? null : { header, block: blockOf(json) };
}

/** Length of the header block, after which frames may stand. When a partial archive is taken over, a new header must not
 *  be longer than the old one. */
export function writeHeader(
  fd: number,
  header: ArchiveHeader,
  room: FrameRoom,
  bytesMax = HEADER_BYTES_MAX,
): number | WriteFault | { readonly kind: "tooLong"; readonly text: string } {
  const block = encodeHeader(header);
  if (block.length > bytesMax)
    return { kind: "tooLong", text: `the archive's header has ${block.length} bytes, more than ${bytesMax}` };
  const { workspace, plainAt } = room;
  // Zeros where an older, longer block stood.
  const bytes = bytesMax === HEADER_BYTES_MAX ? block.length : bytesMax;
  workspace.bytes.fill(0, plainAt, plainAt + bytes);
  workspace.bytes.set(block, plainAt);
  const put = pwriteFully(fd, workspace.base + plainAt, bytes, 0);
  return put < 0 ? writeFault(put, "writing the archive's header") : bytes;
}

export interface HeaderRead {
  readonly kind: "header";
  readonly header: ArchiveHeader;
  /** The block as it stands in the file: an own copy. */
  readonly block: Uint8Array;
}

export function readHeader(fd: number, room: FrameRoom): HeaderRead | OpenFault {
  const { workspace, plainAt } = room;
  const got = readFully(fd, workspace.base + plainAt, HEADER_BLOCK_BYTES, 0);
  if (got < 0) return ioError(got, "reading the archive's header");
  if (got < HEADER_BLOCK_BYTES) return { kind: "incomplete", text: `the archive has only ${got} bytes` };
  const { view, bytes } = workspace;
  const magic = Buffer.from(bytes.slice(plainAt, plainAt + MAGIC_BYTES)).toString("latin1");
  if (magic !== HEADER_MAGIC) return { kind: "foreign", text: "the file does not begin as an archive does" };
  const jsonBytes = view.getUint32(plainAt + HEADER.jsonBytes, true);
  const blockBytes = headerBlockBytes(jsonBytes);
  const version = view.getUint32(plainAt + HEADER.version, true);
  if (version !== ARCHIVE_VERSION)
    return { kind: "unknownVersion", version, text: `the archive's format is version ${version}` };
  if (blockBytes > HEADER_BYTES_MAX) return damaged("the header's length is wrong");
  const rest = blockBytes - HEADER_BLOCK_BYTES;
  const more = readFully(fd, workspace.base + plainAt + HEADER_BLOCK_BYTES, rest, HEADER_BLOCK_BYTES);
  if (more < 0) return ioError(more, "reading the archive's header");
  if (more < rest) return { kind: "incomplete", text: "the archive ends within its header" };
  const block = bytes.slice(plainAt, plainAt + blockBytes);
  const json = block.subarray(HEADER.json, HEADER.json + jsonBytes);
  if (BigInt(Bun.hash.xxHash3(json)) !== view.getBigUint64(plainAt + HEADER.jsonHash, true))
    return damaged("the header does not fit its hash");
  if (block.subarray(HEADER.json + jsonBytes).some((byte) => byte !== 0))
    return damaged("there is something behind the header");
  const header = parseHeader(json);
  return header === null ? damaged("the header lacks what a header says") : { kind: "header", header, block };
}

function parseHeader(json: Uint8Array): ArchiveHeader | null {
  let parsed: z.infer<typeof schema>;
  try {
    parsed = schema.parse(JSON.parse(Buffer.from(json).toString("utf8")));
  } catch {
    return null;
  }
  const { startedAt, roots, salt, selection, ...plain } = parsed;
  return {
    ...plain,
    roots: roots.map(pathFromJson),
    startedAtMs: Date.parse(startedAt),
    salt: BigInt(`0x${salt}`),
    ...(selection === undefined ? {} : { selection }),
  };
}
