/** @module The acknowledgement rule: when may the host be told GOOD? (DESIGN, "When may GOOD be sent?")
 *
 *  (1) A fault of the library loses no acknowledged byte: an acknowledged block is in the ring, in the cache or on tape,
 *      and its place is not used again before the drive has confirmed it.
 *  (2) A crash of the gateway loses no byte that a barrier acknowledged: a barrier is on the members' media
 *      (fdatasync returned), and, while there is a drive, on tape as well.
 *  (3) During a failover a barrier is promised by the cache alone; it is *owed* until it is on tape.
 *  (4) With no cache to promise anything, only the tape can.
 *
 *  Numbers in, a number out, nothing allocated: the front Worker asks this for every command, and again whenever a mark
 *  that it waits for has moved. */
import {
  CACHE_DEGRADED,
  CACHE_HEALTHY,
  FLOW_NORMAL,
  FLOW_REPORT,
  FLOW_SUSPENDED,
} from "../../wasm/ring/layout.ts";

// --- what the host asked ---
/** WRITE in buffered mode 1: the usual one. */
export const COMMAND_WRITE = 0;
/** WRITE in buffered mode 0. */
export const COMMAND_WRITE_UNBUFFERED = 1;
/** WRITE FILEMARKS with immed = 0, whatever its count: count 0 is a barrier and nothing else. */
export const COMMAND_BARRIER = 2;
/** WRITE FILEMARKS with immed = 1: no barrier. */
export const COMMAND_FILEMARKS_IMMEDIATE = 3;
/** READ, VERIFY, SPACE, LOCATE: the drive must have taken everything before. */
export const COMMAND_POSITION = 4;
/** REWIND: as above, and implies the barrier. */
export const COMMAND_REWIND = 5;
/** UNLOAD, and MOVE MEDIUM out of the drive: implies the barrier, and needs the cartridge itself. */
export const COMMAND_UNLOAD = 6;

// --- what to do ---
/** Send GOOD; for the commands from COMMAND_POSITION on: let the drive carry it out. */
export const ACK_NOW = 0;
/** Wait until RECEIVED has come to the command's end. */
export const WAIT_RECEIVED = 1;
/** Wait until DURABLE has come to the command's end. */
export const WAIT_DURABLE = 2;
/** Wait until ON_TAPE has come to the command's end. */
export const WAIT_ON_TAPE = 3;
/** Wait for DURABLE and ON_TAPE. */
export const WAIT_BOTH = 4;
/** Wait until TAKEN has come to the command's end. */
export const WAIT_DRAINED = 5;
/** Transfer is suspended (606, RED-17a): ask again when FLOW has changed. */
export const WAIT_FLOW = 6;
/** No drive to ask: answer from the image in the cache, or hold the command where the image lacks the block. */
export const FROM_IMAGE = 7;
/** The promise cannot be made: end the command with the drive's own sense, deferred (609, RED-19). */
export const REPORT = 8;

export const ACKNOWLEDGEMENT_WORDS = [
  "good",
  "wait: received",
  "wait: durable",
  "wait: on tape",
  "wait: durable and on tape",
  "wait: drained",
  "wait: flow",
  "from the image",
  "report",
] as const;

/** The cursors, as the front last read them; one object, used again and again. All journal offsets J. */
export interface Marks {
  received: number;
  durable: number;
  taken: number;
  onTape: number;
}

/**
 * May this command be answered with GOOD now, or what is it waiting for?
 *
 * @param command COMMAND_*
 * @param endJ    end of the command's own entry, or RECEIVED at its arrival where it has none
 * @param flow    FLOW_* of layout.ts; everything but FLOW_NORMAL is a failover
 * @param cache   CACHE_* of layout.ts
 */
export function mayAcknowledge(
  command: number,
  endJ: number,
  marks: Marks,
  flow: number,
  cache: number,
): number {
  if (flow === FLOW_SUSPENDED) return WAIT_FLOW;
  const failover = flow !== FLOW_NORMAL;
  const cacheKeeps = cache === CACHE_HEALTHY || cache === CACHE_DEGRADED;
  const durable = !cacheKeeps || marks.durable >= endJ;
  const onTape = marks.onTape >= endJ;

  switch (command) {
    // In the ring, as in a drive's own buffer.
    case COMMAND_WRITE:
    case COMMAND_FILEMARKS_IMMEDIATE:
      if (flow === FLOW_REPORT) return REPORT;
      return marks.received >= endJ ? ACK_NOW : WAIT_RECEIVED;

    // Durable in the cache and on tape; during a failover the cache's word is enough, if there is a cache.
    case COMMAND_WRITE_UNBUFFERED:
    case COMMAND_BARRIER:
      if (durable && onTape) return ACK_NOW;
      if (flow === FLOW_REPORT) return REPORT;
      if (failover && cacheKeeps) return durable ? ACK_NOW : WAIT_DURABLE;
      return waitForBoth(durable, onTape);

    // The drive must stand where the host believes it to be.
    case COMMAND_POSITION:
      if (flow === FLOW_REPORT) return REPORT;
      if (failover) return FROM_IMAGE;
      return marks.taken >= endJ ? ACK_NOW : WAIT_DRAINED;

    // A rewound image is an image; but what came before it becomes a promise.
    case COMMAND_REWIND:
      if (durable && onTape && !failover) return ACK_NOW;
      if (flow === FLOW_REPORT) return REPORT;
      if (failover) return durable ? FROM_IMAGE : WAIT_DURABLE;
      return waitForBoth(durable, onTape);

    // The cartridge leaves with everything on it, or not at all (rule 12).
    default:
      if (flow === FLOW_REPORT) return REPORT;
      if (durable && onTape) return failover ? WAIT_FLOW : ACK_NOW;
      return waitForBoth(durable, onTape);
  }
}

function waitForBoth(durable: boolean, onTape: boolean): number {
  if (durable) return WAIT_ON_TAPE;
  return onTape ? WAIT_DURABLE : WAIT_BOTH;
}

/** Is a barrier that was answered with GOOD still owed to the tape? (the ledger's list, RED-19) */
export function isOwed(endJ: number, marks: Marks): boolean {
  return marks.onTape < endJ;
}
