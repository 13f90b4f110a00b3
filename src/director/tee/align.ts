/** @module Step 615: before a drive goes on with a cartridge, what is on the medium is compared with the journal, and the
 *  place is found where writing goes on (DESIGN rules 6 and 11). Also the first thing after a restart of the gateway.
 *
 *  (1) Identity first, then end of data, then the last blocks by hash. No count is trusted.
 *  (2) Writing never goes on behind a block that was not compared or confirmed before; it may go on before one that is on
 *      the medium already: that one is then written again at its own place. */
import * as at from "../../../wasm/ring/layout.ts";
import type { CartridgeIdentity, DriveOutcome, TapeDrive } from "../../device/tape-drive.ts";
import type { DeviceMemory } from "./device-memory.ts";
import { type EntryView, type JournalReader, MEDIUM_AT, MEDIUM_BYTES } from "./journal-reader.ts";

export interface AlignRequest {
  /** Journal offset and logical object number up to which the tape was confirmed. */
  readonly onTapeJ: number;
  readonly onTapePosition: number;
  /** Who the cartridge should be; "" where it has no serial of its own. */
  readonly serial: string;
  /** 632: a spare cartridge that is to get the whole image: nothing may be on it. */
  readonly empty?: boolean;
  readonly readyWithinMs: number;
}

export type AlignOutcome =
  | {
      readonly kind: "verified";
      readonly fromJ: number;
      readonly position: number;
      readonly compared: number;
    }
  | {
      readonly kind: "failed";
      readonly cause: "drive" | "wrongCartridge" | "endOfDataBelowMark" | "otherData" | "notEmpty";
      readonly text: string;
      readonly outcome: DriveOutcome | "none";
      readonly sense: Uint8Array;
    };

/** Blocks before the mark that are read back. */
const HISTORY_COMPARED = 4;
const HASH_AT = MEDIUM_AT + MEDIUM_BYTES - 64;

export function alignToJournal(
  device: DeviceMemory,
  drive: TapeDrive,
  reader: JournalReader,
  request: AlignRequest,
  sleepMs: (ms: number) => void,
  nowMs: () => number,
): AlignOutcome {
  const broken = (outcome: DriveOutcome, text: string): AlignOutcome => ({
    kind: "failed",
    cause: "drive",
    text,
    outcome,
    sense: drive.rawSense.slice(),
  });
  const refused = (
    cause: "wrongCartridge" | "endOfDataBelowMark" | "otherData" | "notEmpty",
    text: string,
  ): AlignOutcome => ({
    kind: "failed",
    cause,
    text,
    outcome: "none",
    sense: new Uint8Array(0),
  });

  const untilMs = nowMs() + request.readyWithinMs;
  let ready = drive.testUnitReady();
  while (ready !== "good" && (ready === "notReady" || ready === "unitAttention") && nowMs() < untilMs) {
    sleepMs(20);
    ready = drive.testUnitReady();
  }
  if (ready !== "good") return broken(ready, "the drive does not become ready");
  const identity = drive.identifyCartridge();
  if (identity !== null && request.serial !== "" && !isCartridge(identity, request.serial)) {
    return refused(
      "wrongCartridge",
      `cartridge ${identity.serial} is in the drive, expected ${request.serial}`,
    );
  }
  const variable = drive.setBlockLength(0);
  if (variable !== "good") return broken(variable, "cannot set variable block length");

  if (request.empty === true) {
    device.set(at.HISTORY_NEXT, 0); // the failed cartridge's blocks are no witness for this one
    return verifyEmpty(drive, request, broken, refused);
  }
  const mark = markPosition(device, reader, request);
  const unfound = toEndOfData(drive, broken);
  if (unfound !== null) return unfound;
  const endOfData = drive.position.position;
  if (endOfData < mark) {
    return refused("endOfDataBelowMark", `end of data at ${endOfData}, but ${mark} was confirmed on tape`);
  }

  let compared = 0;
  for (const J of lastBlocksBefore(device, request.onTapeJ, mark)) {
    if (reader.read(J, false) !== "entry" || reader.entry.kind !== at.KIND_BLOCK) continue;
    const located = drive.locate(reader.entry.position);
    if (located !== "good") return broken(located, `cannot locate block ${reader.entry.position}`);
    const result = compareBlock(device, drive, reader.entry);
    if (result === "unlike") {
      return refused("otherData", `block ${reader.entry.position} on the medium is not what was written`);
    }
    if (result !== "same") return broken(result, `cannot read back block ${reader.entry.position}`);
    compared++;
  }

  // What the drive wrote after it was last asked: as far as it is the journal's, it need not be written again.
  let J = request.onTapeJ;
  let position = mark;
  let standing = -1;
  while (J < device.get(at.CACHED) && reader.read(J, false) === "entry") {
    const { entry } = reader;
    if (entry.kind === at.KIND_PAD || (entry.kind === at.KIND_FILEMARKS && entry.count === 0)) {
      J += entry.entryBytes;
      continue;
    }
    if (entry.position !== position || position + entry.count > endOfData) break;
    if (standing !== position) {
      const located = drive.locate(position);
      if (located !== "good") return broken(located, `cannot locate ${position}`);
    }
    const result =
      entry.kind === at.KIND_BLOCK
        ? compareBlock(device, drive, entry)
        : compareFilemarks(drive, entry.count);
    if (result !== "same") break; // unlike, or unreadable behind the mark: written again
    position += entry.count;
    standing = position;
    J += entry.entryBytes;
    compared++;
  }
  const located = drive.locate(position);
  if (located !== "good") return broken(located, `cannot locate ${position}`);
  return { kind: "verified", fromJ: J, position, compared };
}

/** Leaves the drive at end of data with `drive.position` there; else why it is not. */
function toEndOfData(
  drive: TapeDrive,
  broken: (outcome: DriveOutcome, text: string) => AlignOutcome,
): AlignOutcome | null {
  const toEnd = drive.spaceToEndOfData();
  if (toEnd !== "good" && toEnd !== "endOfData") return broken(toEnd, "cannot space to end of data");
  const where = drive.readPositionLong();
  if (where !== "good" || !drive.position.valid) return broken(where, "no valid position at end of data");
  return null;
}

/** 632: it is read from the beginning: nothing is there, and the drive says so without an error. */
function verifyEmpty(
  drive: TapeDrive,
  request: AlignRequest,
  broken: (outcome: DriveOutcome, text: string) => AlignOutcome,
  refused: (cause: "notEmpty", text: string) => AlignOutcome,
): AlignOutcome {
  const rewound = drive.rewind();
  if (rewound !== "good") return broken(rewound, "cannot rewind the spare cartridge");
  const unfound = toEndOfData(drive, broken);
  if (unfound !== null) return unfound;
  const { position } = drive.position;
  if (position !== 0) return refused("notEmpty", `the spare cartridge holds ${position} objects already`);
  return { kind: "verified", fromJ: request.onTapeJ, position: 0, compared: 0 };
}

/** A library of others knows a cartridge that it has not read yet by its barcode only. */
function isCartridge(identity: CartridgeIdentity, wanted: string): boolean {
  return identity.serial === wanted || identity.barcode === wanted;
}

/** Where the first entry behind the mark belongs. The host may have moved since the mark was noted, so the entry's own
 *  position counts; the noted one only where nothing came after it. */
function markPosition(device: DeviceMemory, reader: JournalReader, request: AlignRequest): number {
  for (let J = request.onTapeJ; J < device.get(at.CACHED) && reader.read(J, false) === "entry"; ) {
    const { entry } = reader;
    if (entry.kind !== at.KIND_PAD && entry.count > 0) return entry.position;
    J += entry.entryBytes;
  }
  return request.onTapePosition;
}

/** Journal offsets of the last blocks confirmed before the mark, oldest first. */
function lastBlocksBefore(device: DeviceMemory, onTapeJ: number, mark: number): number[] {
  const found: number[] = [];
  const next = device.get(at.HISTORY_NEXT);
  const oldestHeld = device.get(at.RECEIVED) - device.get(at.CACHE_BYTES);
  let before = mark;
  for (let i = next - 1; i >= 0 && i >= next - at.HISTORY_ENTRIES && found.length < HISTORY_COMPARED; i--) {
    const slot = at.HISTORY + (i % at.HISTORY_ENTRIES) * 16;
    const J = device.figure(slot);
    const position = device.figure(slot + 8);
    if (J >= onTapeJ) continue;
    // Going back in time the positions must fall: where they do not, the host had moved, and older blocks may be gone.
    if (J < oldestHeld || position >= before) break;
    before = position;
    found.unshift(J);
  }
  return found;
}

function compareBlock(
  device: DeviceMemory,
  drive: TapeDrive,
  entry: EntryView,
): "same" | "unlike" | DriveOutcome {
  const { ring, shared } = device;
  const step = entry.blockBytes > 0 ? entry.blockBytes : entry.dataBytes;
  for (let done = 0; done < entry.dataBytes; done += step) {
    const outcome = drive.read(shared.base + MEDIUM_AT + done, step);
    if (outcome === "filemark" || outcome === "endOfData" || outcome === "incorrectLength") return "unlike";
    if (outcome !== "good") return outcome;
    if (drive.transferredBytes !== step) return "unlike";
  }
  ring.hashInto(MEDIUM_AT, entry.dataBytes, HASH_AT);
  return ring.same64(HASH_AT, entry.memoryAt + at.ENTRY_DATA_HASH_AT) === 1 ? "same" : "unlike";
}

function compareFilemarks(drive: TapeDrive, count: number): "same" | "unlike" | DriveOutcome {
  for (let n = 0; n < count; n++) {
    const outcome = drive.space(0, 1); // one block on: stops behind a filemark
    if (outcome !== "filemark") return outcome === "good" || outcome === "endOfData" ? "unlike" : outcome;
  }
  return "same";
}
