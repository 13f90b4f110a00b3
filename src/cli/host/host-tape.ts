/** @module A tape drive as a backup server uses it: blocks, filemarks, positions.
 *
 *  (1) One command at a time; the caller's thread waits for its outcome.
 *  (2) Nothing is repeated: only `waitReady` asks again, and TEST UNIT READY moves nothing.
 *  (3) Data lies at native addresses; a GOOD block allocates nothing. */
import { ptr } from "bun:ffi";
import { CommandReply, type DataDirection } from "../../base/command-reply.ts";
import { libc } from "../../base/ffi.ts";
import * as put from "../../scsi/cdb.ts";
import { type InquiryData, VPD_SERIAL } from "../../scsi/inquiry.ts";
import { parseInquiry, parseModeSense, parseReadPositionShort, parseVpd80 } from "../../scsi/replies.ts";
import type { Sense } from "../../scsi/sense.ts";
import { KEY_NOT_READY, KEY_UNIT_ATTENTION } from "../../scsi/senses.ts";
import { SHORT_POSITION_BYTES, TapePosition as ToldPosition } from "../../scsi/unit/tape-position.ts";
import { describeOutcome, type HostOutcome, type HostPort, outcomeOf, readSense } from "./host-port.ts";

/** What Linux's st waits for an ordinary command, and for one that winds the tape. */
const TIMEOUT_MS = 900_000;
const LONG_TIMEOUT_MS = 14_000_000;
const READY_POLL_MS = 50;
const SMALL_BYTES = 252;
const LOCATE10_BLOCK_MAX = 0xffffffff;
const INQUIRY_BYTES = 96;
const ALL_MODE_PAGES = 0x3f;
const ASC_BECOMING_READY = 0x04;

/** READ POSITION, short form. */
export interface TapePosition {
  readonly kind: "position";
  readonly beginningOfPartition: boolean;
  readonly endOfPartition: boolean;
  /** false: the drive does not know; the numbers below are then worthless. */
  readonly known: boolean;
  /** The next block of the host, and the next block to reach the medium. */
  readonly block: number;
  readonly onMediumBlock: number;
  readonly bufferedBlocks: number;
  readonly bufferedBytes: number;
}

export type Space = "blocks" | "filemarks" | "endOfData";
const SPACE_CODES: Record<Space, number> = { blocks: 0, filemarks: 1, endOfData: 3 };

export class HostTape {
  readonly #port: HostPort;
  readonly #lun: number;
  readonly #reply = new CommandReply();
  readonly #cdbs = new put.CdbBuffer();
  readonly #cdb = this.#cdbs.bytes;
  readonly #told = new ToldPosition();
  // Over a buffer made first: a small array of its own would move once `.buffer` is asked for.
  readonly #small = new Uint8Array(new ArrayBuffer(SMALL_BYTES));
  readonly #smallAddress = ptr(this.#small);

  constructor(port: HostPort, lun: number) {
    this.#port = port;
    this.#lun = lun;
  }

  /** Bytes that the last command moved: the length of the block that `readBlock` brought. */
  get transferredBytes(): number {
    return this.#reply.transferredBytes;
  }

  writeBlock(address: number, bytes: number): HostOutcome {
    return this.#run(put.putWrite6(this.#cdb, bytes), "out", address, bytes, TIMEOUT_MS);
  }

  /** Reads the next block, of any length up to `capacityBytes`; its length is in `transferredBytes`.
   *  A longer block ends with ILI and the capacity filled; a filemark with the filemark flag and no data. */
  readBlock(address: number, capacityBytes: number): HostOutcome {
    const cdbBytes = put.putRead6(this.#cdb, capacityBytes, false, true);
    return this.#run(cdbBytes, "in", address, capacityBytes, TIMEOUT_MS);
  }

  /** In fixed mode (`setBlockBytes`): several blocks with one command. */
  writeBlocks(address: number, blocks: number, blockBytes: number): HostOutcome {
    return this.#run(put.putWrite6(this.#cdb, blocks, true), "out", address, blocks * blockBytes, TIMEOUT_MS);
  }

  readBlocks(address: number, blocks: number, blockBytes: number): HostOutcome {
    return this.#run(put.putRead6(this.#cdb, blocks, true), "in", address, blocks * blockBytes, TIMEOUT_MS);
  }

  /** Not immediate: a barrier; all before it is on the medium when GOOD comes. */
  writeFilemarks(count: number, immediate = false): HostOutcome {
    return this.#plain(put.putWriteFilemarks(this.#cdb, count, immediate), LONG_TIMEOUT_MS);
  }

  rewind(): HostOutcome {
    return this.#plain(put.putRewind(this.#cdb), LONG_TIMEOUT_MS);
  }

  space(what: Space, count = 0): HostOutcome {
    return this.#plain(put.putSpace6(this.#cdb, SPACE_CODES[what], count), LONG_TIMEOUT_MS);
  }

  locate(block: number): HostOutcome {
    const isShort = block <= LOCATE10_BLOCK_MAX;
    return this.#plain(
      isShort ? put.putLocate10(this.#cdb, block) : put.putLocate16(this.#cdb, 0, block),
      LONG_TIMEOUT_MS,
    );
  }

  load(): HostOutcome {
    return this.#plain(put.putLoadUnload(this.#cdb, true), LONG_TIMEOUT_MS);
  }

  unload(): HostOutcome {
    return this.#plain(put.putLoadUnload(this.#cdb, false), LONG_TIMEOUT_MS);
  }

  testUnitReady(): HostOutcome {
    return this.#plain(put.putTestUnitReady(this.#cdb), TIMEOUT_MS);
  }

  /** Asks until the unit is ready, past unit attentions and while it becomes ready; else its last word. */
  waitReady(timeoutMs: number): HostOutcome {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const outcome = this.testUnitReady();
      if (!mayPass(outcome) || performance.now() >= deadlineMs) return outcome;
      if (outcome.kind !== "checkCondition" || outcome.sense.key !== KEY_UNIT_ATTENTION) {
        libc.usleep(READY_POLL_MS * 1000);
      }
    }
  }

  readPosition(): TapePosition | HostOutcome {
    const outcome = this.#ask(put.putReadPosition(this.#cdb), SHORT_POSITION_BYTES);
    if (outcome.kind !== "good") return outcome;
    const told = this.#told;
    parseReadPositionShort(this.#small, told);
    return {
      kind: "position",
      beginningOfPartition: told.bop,
      endOfPartition: told.eop,
      known: !told.positionUnknown,
      block: told.first,
      onMediumBlock: told.last,
      bufferedBlocks: told.blocksInBuffer,
      bufferedBytes: told.bytesInBuffer,
    };
  }

  requestSense(): Sense | undefined {
    const outcome = this.#ask(put.putRequestSense(this.#cdb, SMALL_BYTES), SMALL_BYTES);
    if (outcome.kind !== "good") return undefined;
    return readSense(this.#small, this.#reply.transferredBytes);
  }

  inquiry(): InquiryData | undefined {
    const outcome = this.#ask(put.putInquiry(this.#cdb, INQUIRY_BYTES), INQUIRY_BYTES);
    if (outcome.kind !== "good") return undefined;
    return parseInquiry(this.#small) ?? undefined;
  }

  /** Unit serial number (VPD 80h); "" where there is none. */
  serialNumber(): string {
    const outcome = this.#ask(put.putInquiryVpd(this.#cdb, VPD_SERIAL, SMALL_BYTES), SMALL_BYTES);
    return outcome.kind === "good" ? (parseVpd80(this.#small) ?? "") : "";
  }

  /** 0: variable mode. The medium's density and the drive's buffered mode stay as they are. */
  setBlockBytes(blockBytes: number): HostOutcome {
    const sensed = this.#ask(put.putModeSense6(this.#cdb, ALL_MODE_PAGES, SMALL_BYTES), SMALL_BYTES);
    if (sensed.kind !== "good") return sensed;
    const modes = parseModeSense(false, this.#small);
    const deviceSpecific = (modes?.deviceSpecific ?? 0) & 0x7f; // write-protect is not ours to set
    const listBytes = put.putModeList6(this.#small, deviceSpecific, modes?.densityCode ?? 0, blockBytes);
    const cdbBytes = put.putModeSelect6(this.#cdb, listBytes);
    return this.#run(cdbBytes, "out", this.#smallAddress, listBytes, TIMEOUT_MS);
  }

  /** Any command, for tests: `data` is used in the given direction. */
  command(cdb: Uint8Array, direction: DataDirection, address: number, bytes: number): HostOutcome {
    return this.#send(cdb, direction, address, bytes, LONG_TIMEOUT_MS);
  }

  #plain(cdbBytes: number, timeoutMs: number): HostOutcome {
    return this.#run(cdbBytes, "none", 0, 0, timeoutMs);
  }

  #ask(cdbBytes: number, allocationBytes: number): HostOutcome {
    this.#small.fill(0);
    return this.#run(cdbBytes, "in", this.#smallAddress, allocationBytes, TIMEOUT_MS);
  }

  /** The CDB just built. */
  #run(
    cdbBytes: number,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
  ): HostOutcome {
    return this.#send(this.#cdbs.cut(cdbBytes), direction, address, bytes, timeoutMs);
  }

  #send(
    cdb: Uint8Array,
    direction: DataDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
  ): HostOutcome {
    this.#port.execute(this.#lun, cdb, direction, address, bytes, timeoutMs, this.#reply);
    return outcomeOf(this.#reply, bytes);
  }
}

/** The unit may be ready later without anybody's help. */
function mayPass(outcome: HostOutcome): boolean {
  if (outcome.kind === "status") return true;
  if (outcome.kind !== "checkCondition") return false;
  const { key, asc } = outcome.sense;
  return key === KEY_UNIT_ATTENTION || (key === KEY_NOT_READY && asc === ASC_BECOMING_READY);
}

/** For doors where anything but GOOD ends the matter. */
export function mustBeGood(what: string, outcome: HostOutcome): void {
  if (outcome.kind !== "good") throw new Error(`${what}: ${describeOutcome(outcome)}`);
}
