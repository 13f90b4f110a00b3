/** @module A backup server's job for the tests: blocks of every size and filemarks, written through our initiator, with a
 *  note of each, and the comparison of that note with what is on a cartridge, read by the reader that shares no code with
 *  the writer. */
import { ptr } from "bun:ffi";
import { CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { describeOutcome, type HostOutcome } from "../../src/cli/host/host-port.ts";
import { HostTape, mustBeGood } from "../../src/cli/host/host-tape.ts";
import type { Initiator } from "../../src/iscsi/initiator.ts";

const READY_MS = 30_000;
const NOISE_BYTES = 32 * 1024 * 1024;
const BLOCK_BYTES_MAX = 8 * 1024 * 1024;
/** Odd, so that blocks begin at every alignment and no two are alike. */
const STRIDE_BYTES = 65537;
const BUSY = 8;
const BUSY_WAIT_MS = 50;

/** Bytes that repeat nowhere; every block is a piece of them, so nothing is copied to make one. */
const noise = makeNoise();
const noiseAddress = Number(ptr(noise));

function makeNoise(): Uint8Array {
  const words = new Uint32Array(new ArrayBuffer(NOISE_BYTES));
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

/** Length and hash of a block; null: a filemark. */
export type Written = { readonly bytes: number; readonly hash: bigint } | null;

export class TapeJob {
  tape: HostTape;
  /** What was answered with GOOD, object by object. */
  readonly written: Written[] = [];
  /** Answers that were neither GOOD nor early warning. */
  readonly errors: HostOutcome[] = [];
  busy = 0;
  /** false: a command that is told BUSY is given up, and leaves no trace. */
  waitsWhenBusy = true;
  private pieceNext = 0;

  constructor(
    private session: Initiator,
    readonly lun = 1,
  ) {
    this.tape = new HostTape(session, lun);
  }

  /** Goes on over another session, with all notes kept. */
  reconnect(session: Initiator): void {
    this.session = session;
    this.tape = new HostTape(session, this.lun);
  }

  load(barcode: string): void {
    const changer = new HostChanger(this.session, 0);
    mustBeGood("changer", changer.waitReady());
    changer.loadDrive(barcode, this.lun - 1);
    mustBeGood("drive", this.tape.waitReady(READY_MS));
  }

  /** A piece of noise that was not used before: its place and its bytes. */
  piece(bytes: number): { address: number; data: Uint8Array } {
    const at = (this.pieceNext++ * STRIDE_BYTES) % (NOISE_BYTES - BLOCK_BYTES_MAX);
    return { address: noiseAddress + at, data: noise.subarray(at, at + bytes) };
  }

  /** false: it was not answered with GOOD; see `errors`. */
  block(bytes: number): boolean {
    const { address, data } = this.piece(bytes);
    if (!this.good(() => this.tape.writeBlock(address, bytes))) return false;
    this.written.push({ bytes, hash: Bun.hash.xxHash3(data) });
    return true;
  }

  /** Several blocks with one command; the unit must be in fixed mode. */
  fixedBlocks(count: number, blockBytes: number): boolean {
    const { address, data } = this.piece(count * blockBytes);
    if (!this.good(() => this.tape.writeBlocks(address, count, blockBytes))) return false;
    for (let index = 0; index < count; index++) {
      const part = data.subarray(index * blockBytes, (index + 1) * blockBytes);
      this.written.push({ bytes: blockBytes, hash: Bun.hash.xxHash3(part) });
    }
    return true;
  }

  filemarks(count: number, immediate = false): boolean {
    if (!this.good(() => this.tape.writeFilemarks(count, immediate))) return false;
    for (let index = 0; index < count; index++) this.written.push(null);
    return true;
  }

  /** In words, for an assertion that says more than a count. */
  get errorWords(): string[] {
    return this.errors.map(describeOutcome);
  }

  private good(command: () => HostOutcome): boolean {
    for (;;) {
      const outcome = command();
      if (outcome.kind === "good") return true;
      if (outcome.kind === "checkCondition" && outcome.sense.key === 0 && outcome.sense.eom === true)
        return true;
      if (outcome.kind !== "status" || outcome.status !== BUSY) {
        this.errors.push(outcome);
        return false;
      }
      this.busy++;
      if (!this.waitsWhenBusy) return false;
      Bun.sleepSync(BUSY_WAIT_MS);
    }
  }
}

export interface Comparison {
  /** Objects on the cartridge, whatever they are. */
  readonly objects: number;
  /** From the beginning on, so many are what was written. */
  readonly alike: number;
  readonly tornBytes: number;
}

export function compareCartridge(path: string, written: readonly Written[]): Comparison {
  const reader = new CartridgeReader(path);
  let objects = 0;
  let alike = 0;
  for (const object of reader.objects(true)) {
    const expected = written[objects];
    const same =
      expected !== undefined &&
      (expected === null
        ? object.kind === "filemark"
        : object.kind === "block" && object.bytes === expected.bytes && object.hash === expected.hash);
    if (same && alike === objects) alike++;
    objects++;
  }
  reader.close();
  return { objects, alike, tornBytes: reader.tornBytes };
}
