/** @module The backup server of the demonstration, in a Worker of its own: an ordinary initiator that writes a tar stream
 *  to the first drive and reads it back. It knows nothing of spares and caches. */
import { ptr } from "bun:ffi";
import { Initiator } from "../../iscsi/initiator.ts";
import { HostChanger } from "../host/host-changer.ts";
import { describeOutcome } from "../host/host-port.ts";
import { HostTape, mustBeGood } from "../host/host-tape.ts";
import { HostWriter } from "../host/host-writer.ts";
import { TarStream } from "./tar-stream.ts";

export const BLOCK_BYTES = 262144;
const DEPTH = 2;
const CONNECT_MS = 10_000;
const READY_MS = 120_000;

/** Indices of the shared progress figures. */
export const WRITTEN_BYTES = 0;
export const WRITTEN_BLOCKS = 1;
export const STALL_MS = 2;
export const READ_BYTES = 3;
export const PHASE = 4;
export const PHASES = ["connecting", "writing", "written", "reading", "done"] as const;

export interface HostJobStart {
  readonly role: "demoHost";
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
  readonly barcode: string;
  readonly directory: string;
  readonly passes: number;
  /** Float64Array of 8. */
  readonly progress: SharedArrayBuffer;
}

export interface HostJobResult {
  readonly kind: "demoHost";
  readonly bytes: number;
  readonly blocks: number;
  readonly seconds: number;
  readonly hostErrors: number;
  readonly longestStallMs: number;
  readonly sha256: string;
  readonly readBytes: number;
  readonly readBlocks: number;
  readonly readSha256: string;
  readonly error: string;
}

export function runHostJob(start: HostJobStart): HostJobResult {
  const progress = new Float64Array(start.progress);
  const session = Initiator.connect({
    host: start.host,
    port: start.port,
    targetName: start.targetName,
    initiatorName: "iqn.2026-01.org.understudy:demo",
    timeoutMs: CONNECT_MS,
    depth: DEPTH + 1,
  });
  try {
    const changer = new HostChanger(session, 0);
    mustBeGood("changer", changer.waitReady());
    changer.loadDrive(start.barcode, 0);
    const tape = new HostTape(session, 1);
    mustBeGood("drive", tape.waitReady(READY_MS));
    mustBeGood("REWIND", tape.rewind());

    const written = write(session, start, progress);
    progress[PHASE] = 2;
    if (written.error !== "") return { ...written, ...nothingRead };
    mustBeGood("REWIND", tape.rewind());
    progress[PHASE] = 3;
    const read = readBack(tape, progress);
    progress[PHASE] = 4;
    return { ...written, ...read };
  } finally {
    session.logout();
    session.close();
  }
}

const nothingRead = { readBytes: 0, readBlocks: 0, readSha256: "" };

function write(session: Initiator, start: HostJobStart, progress: Float64Array) {
  const writer = new HostWriter(session, { lun: 1, blockBytesMax: BLOCK_BYTES, depth: DEPTH });
  const hash = new Bun.CryptoHasher("sha256");
  let carried = 0; // bytes already in the block in the making: passes are joined without a seam
  progress[PHASE] = 1;
  const startedMs = performance.now();
  let block = writer.block();
  for (let pass = 0; pass < start.passes && writer.error === null; pass++) {
    const tar = new TarStream(start.directory);
    for (;;) {
      const got = tar.read(Number(ptr(block)) + carried, BLOCK_BYTES - carried);
      carried += got;
      if (carried < BLOCK_BYTES) break;
      hash.update(block);
      if (!writer.write(carried)) break;
      block = writer.block();
      carried = 0;
      progress[WRITTEN_BYTES] = writer.bytes;
      progress[WRITTEN_BLOCKS] = writer.blocks;
      progress[STALL_MS] = writer.longestStallMs;
    }
    tar.close();
  }
  if (carried > 0 && writer.error === null) {
    hash.update(block.subarray(0, carried));
    writer.write(carried);
  }
  writer.filemarks(1);
  const seconds = (performance.now() - startedMs) / 1000;
  progress[WRITTEN_BYTES] = writer.bytes;
  progress[WRITTEN_BLOCKS] = writer.blocks;
  return {
    kind: "demoHost" as const,
    bytes: writer.bytes,
    blocks: writer.blocks,
    seconds,
    hostErrors: writer.hostErrors,
    longestStallMs: writer.longestStallMs,
    sha256: hash.digest("hex"),
    error: writer.error === null ? "" : describeOutcome(writer.error),
  };
}

function readBack(tape: HostTape, progress: Float64Array) {
  const block = new Uint8Array(new ArrayBuffer(BLOCK_BYTES));
  const address = Number(ptr(block));
  const hash = new Bun.CryptoHasher("sha256");
  let readBytes = 0;
  let readBlocks = 0;
  for (;;) {
    const outcome = tape.readBlock(address, BLOCK_BYTES);
    if (outcome.kind === "checkCondition" && outcome.sense.filemark === true) break;
    // The last block is shorter: with SILI that is no error.
    mustBeGood(`READ of block ${readBlocks}`, outcome);
    hash.update(block.subarray(0, tape.transferredBytes));
    readBytes += tape.transferredBytes;
    readBlocks++;
    progress[READ_BYTES] = readBytes;
  }
  return { readBytes, readBlocks, readSha256: hash.digest("hex") };
}
