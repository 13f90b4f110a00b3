/** @module A tape drive as a backup server uses it: blocks, filemarks, positions.
 *
 *  (1) One command at a time; the caller's thread waits for its outcome.
 *  (2) Nothing is repeated: only `waitReady` asks again, and TEST UNIT READY moves nothing.
 *  (3) Data lies at native addresses; a GOOD block allocates nothing. */
import { ptr } from "bun:ffi";
import { libc } from "../../base/ffi.ts";
import type { Sense } from "../../scsi/sense.ts";
import {
  fixed6,
  inquiry,
  loadUnload,
  locate10,
  locate16,
  modeSelect6,
  modeSense6,
  plain6,
  readPosition,
  requestSense,
  space6,
  transfer6,
  writeFilemarks6,
} from "./host-cdb.ts";
import {
  describeOutcome,
  GOOD,
  type HostDirection,
  type HostOutcome,
  type HostPort,
  HostReply,
  outcomeOf,
  readSense,
} from "./host-port.ts";

/** What Linux's st waits for an ordinary command, and for one that winds the tape. */
const TIMEOUT_MS = 900_000;
const LONG_TIMEOUT_MS = 14_000_000;
const READY_POLL_MS = 50;
const SMALL_BYTES = 252;
const LOCATE10_BLOCK_MAX = 0xffffffff;

const REWIND = 0x01;
const TEST_UNIT_READY = 0x00;
const READ = 0x08;
const WRITE = 0x0a;

const KEY_NOT_READY = 2;
const KEY_UNIT_ATTENTION = 6;
const ASC_BECOMING_READY = 0x04;

export interface Identity {
  readonly deviceType: number;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

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
  readonly #reply = new HostReply();
  readonly #cdb = new Uint8Array(16);
  readonly #cdb6 = this.#cdb.subarray(0, 6);
  readonly #cdb10 = this.#cdb.subarray(0, 10);
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
    return this.#run(transfer6(this.#cdb6, WRITE, bytes), "out", address, bytes, TIMEOUT_MS);
  }

  /** Reads the next block, of any length up to `capacityBytes`; its length is in `transferredBytes`.
   *  A longer block ends with ILI and the capacity filled; a filemark with the filemark flag and no data. */
  readBlock(address: number, capacityBytes: number): HostOutcome {
    return this.#run(
      transfer6(this.#cdb6, READ, capacityBytes, true),
      "in",
      address,
      capacityBytes,
      TIMEOUT_MS,
    );
  }

  /** In fixed mode (`setBlockBytes`): several blocks with one command. */
  writeBlocks(address: number, blocks: number, blockBytes: number): HostOutcome {
    return this.#run(fixed6(this.#cdb6, WRITE, blocks), "out", address, blocks * blockBytes, TIMEOUT_MS);
  }

  readBlocks(address: number, blocks: number, blockBytes: number): HostOutcome {
    return this.#run(fixed6(this.#cdb6, READ, blocks), "in", address, blocks * blockBytes, TIMEOUT_MS);
  }

  /** Not immediate: a barrier; all before it is on the medium when GOOD comes. */
  writeFilemarks(count: number, immediate = false): HostOutcome {
    return this.#plain(writeFilemarks6(this.#cdb6, count, immediate), LONG_TIMEOUT_MS);
  }

  rewind(): HostOutcome {
    return this.#plain(plain6(this.#cdb6, REWIND), LONG_TIMEOUT_MS);
  }

  space(what: Space, count = 0): HostOutcome {
    return this.#plain(space6(this.#cdb6, SPACE_CODES[what], count), LONG_TIMEOUT_MS);
  }

  locate(block: number): HostOutcome {
    const cdb = block <= LOCATE10_BLOCK_MAX ? locate10(this.#cdb10, block) : locate16(this.#cdb, 0, block);
    return this.#plain(cdb, LONG_TIMEOUT_MS);
  }

  load(): HostOutcome {
    return this.#plain(loadUnload(this.#cdb6, true), LONG_TIMEOUT_MS);
  }

  unload(): HostOutcome {
    return this.#plain(loadUnload(this.#cdb6, false), LONG_TIMEOUT_MS);
  }

  testUnitReady(): HostOutcome {
    return this.#plain(plain6(this.#cdb6, TEST_UNIT_READY), TIMEOUT_MS);
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
    const outcome = this.#smallIn(readPosition(this.#cdb10), 20);
    if (outcome.kind !== "good") return outcome;
    const view = new DataView(this.#small.buffer);
    const flags = view.getUint8(0);
    return {
      kind: "position",
      beginningOfPartition: (flags & 0x80) !== 0,
      endOfPartition: (flags & 0x40) !== 0,
      known: (flags & 0x04) === 0,
      block: view.getUint32(4),
      onMediumBlock: view.getUint32(8),
      bufferedBlocks: view.getUint32(12) & 0xffffff,
      bufferedBytes: view.getUint32(16),
    };
  }

  requestSense(): Sense | undefined {
    const outcome = this.#smallIn(requestSense(this.#cdb6, SMALL_BYTES), SMALL_BYTES);
    if (outcome.kind !== "good") return undefined;
    return readSense(this.#small, this.#reply.transferredBytes);
  }

  inquiry(): Identity | undefined {
    const outcome = this.#smallIn(inquiry(this.#cdb6, -1, 96), 96);
    if (outcome.kind !== "good") return undefined;
    const text = (from: number, to: number) => Buffer.from(this.#small.subarray(from, to)).toString().trim();
    return {
      deviceType: (this.#small[0] ?? 0) & 0x1f,
      vendor: text(8, 16),
      product: text(16, 32),
      revision: text(32, 36),
    };
  }

  /** Unit serial number (VPD 80h); "" where there is none. */
  serialNumber(): string {
    const outcome = this.#smallIn(inquiry(this.#cdb6, 0x80, SMALL_BYTES), SMALL_BYTES);
    if (outcome.kind !== "good") return "";
    return Buffer.from(this.#small.subarray(4, 4 + (this.#small[3] ?? 0)))
      .toString()
      .trim();
  }

  /** 0: variable mode. The medium's density and the drive's buffered mode stay as they are. */
  setBlockBytes(blockBytes: number): HostOutcome {
    const sensed = this.#smallIn(modeSense6(this.#cdb6, 0x3f, false, SMALL_BYTES), SMALL_BYTES);
    if (sensed.kind !== "good") return sensed;
    const header = new DataView(this.#small.buffer);
    const density = (this.#small[3] ?? 0) >= 8 ? header.getUint8(4) : 0;
    header.setUint8(0, 0);
    header.setUint8(1, 0);
    header.setUint8(2, header.getUint8(2) & 0x7f); // write-protect is not ours to set
    header.setUint8(3, 8);
    header.setUint32(4, density << 24);
    header.setUint32(8, blockBytes);
    return this.#run(modeSelect6(this.#cdb6, 12), "out", this.#smallAddress, 12, TIMEOUT_MS);
  }

  /** Any command, for tests: `data` is used in the given direction. */
  command(cdb: Uint8Array, direction: HostDirection, address: number, bytes: number): HostOutcome {
    return this.#run(cdb, direction, address, bytes, LONG_TIMEOUT_MS);
  }

  #plain(cdb: Uint8Array, timeoutMs: number): HostOutcome {
    return this.#run(cdb, "none", 0, 0, timeoutMs);
  }

  #smallIn(cdb: Uint8Array, bytes: number): HostOutcome {
    this.#small.fill(0);
    return this.#run(cdb, "in", this.#smallAddress, bytes, TIMEOUT_MS);
  }

  #run(
    cdb: Uint8Array,
    direction: HostDirection,
    address: number,
    bytes: number,
    timeoutMs: number,
  ): HostOutcome {
    this.#port.execute(this.#lun, cdb, direction, address, bytes, timeoutMs, this.#reply);
    if (this.#reply.reached && this.#reply.status === 0) return GOOD;
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
