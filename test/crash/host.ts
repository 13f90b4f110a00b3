/** @module The backup server of the crash tests: writes self-describing blocks and filemarks until the gateway is gone,
 *  keeps the model of each cartridge, and looks at the device through a new session after each restart. */
import { ptr } from "bun:ffi";
import { libc } from "../../src/base/ffi.ts";
import { type ChangerElement, HostChanger } from "../../src/cli/host/host-changer.ts";
import { describeOutcome, type HostOutcome } from "../../src/cli/host/host-port.ts";
import { HostTape } from "../../src/cli/host/host-tape.ts";
import { HostWriter } from "../../src/cli/host/host-writer.ts";
import { Initiator } from "../../src/iscsi/initiator.ts";
import { putReadAttribute } from "../../src/scsi/cdb.ts";
import { attributeText, parseAttributes } from "../../src/scsi/replies.ts";
import type { Random } from "../simulator/random.ts";
import type { GatewayFacts } from "./gateway.ts";
import { FILEMARK, TapeModel } from "./tape-model.ts";

const BLOCK_BYTES_MAX = 2 * 1024 * 1024;
const POOL_BYTES = 4 * 1024 * 1024;
const ATTRIBUTE_MEDIUM_SERIAL = 0x0401;

/** The gateway is gone: the round's end, not an error. */
export class Gone extends Error {}

/** Noise to cut blocks from; what makes a block unlike any other is the text at its start. */
const pool = new Uint8Array(POOL_BYTES);
for (let at = 0; at < POOL_BYTES; at += 65536) crypto.getRandomValues(pool.subarray(at, at + 65536));

/** What the host believes of all cartridges. */
export class Shelf {
  readonly models = new Map<string, TapeModel>();
  blocksSent = 0;
  bytesSent = 0;
  promises = 0;
  cuts = 0;
  moves = 0;

  model(barcode: string): TapeModel {
    const known = this.models.get(barcode) ?? new TapeModel(barcode);
    this.models.set(barcode, known);
    return known;
  }
}

export class Host {
  readonly session: Initiator;
  readonly tape: HostTape;
  readonly changer: HostChanger;
  private readonly scratch = new Uint8Array(new ArrayBuffer(BLOCK_BYTES_MAX));

  constructor(
    facts: GatewayFacts,
    private readonly shelf: Shelf,
    private readonly random: Random,
    private readonly name: string,
  ) {
    this.session = Initiator.connect({
      ...facts.iscsi,
      targetName: facts.targetName,
      initiatorName: "iqn.2026-01.net.example:crash-test",
      timeoutMs: 10_000,
    });
    this.tape = new HostTape(this.session, 1);
    this.changer = new HostChanger(this.session, 0);
  }

  close(): void {
    this.session.close();
  }

  // --- after a restart ---

  /** The drive's element as the changer shows it. */
  driveElement(): ChangerElement {
    must("changer", this.changer.waitReady());
    const drive = this.changer.elements().find(({ type }) => type === "drive");
    if (drive === undefined) throw new Error("the changer shows no drive");
    return drive;
  }

  /** Rule 7: each nexus hears of the restart first; writes are refused until the host positions. */
  expectRestarted(): void {
    const first = this.tape.testUnitReady();
    if (first.kind !== "checkCondition" || first.sense.key !== 6 || first.sense.asc !== 0x29)
      throw new Error(`the first command after a restart: ${describeOutcome(first)}, expected 6/29`);
  }

  expectRefusedUntilPositioned(): void {
    must("drive", this.tape.waitReady(10_000));
    const position = this.tape.readPosition();
    if (position.kind !== "position" || position.known)
      throw new Error("after a restart the position must be unknown until the host positions");
    const write = this.tape.writeBlock(ptr(this.scratch), 512);
    if (write.kind !== "checkCondition" || write.sense.key !== 3 || write.sense.asc !== 0x3b)
      throw new Error(`a write before positioning: ${describeOutcome(write)}, expected 3/3B`);
    const marks = this.tape.writeFilemarks(1);
    if (marks.kind !== "checkCondition") throw new Error("a filemark before positioning was taken");
  }

  expectPositions(model: TapeModel): void {
    must("rewind", this.tape.rewind());
    this.expectAt(0);
    must("space to end of data", this.tape.space("endOfData"));
    this.expectAt(model.objects.length);
  }

  expectAt(block: number): void {
    const position = this.tape.readPosition();
    if (position.kind === "unreached") throw new Gone();
    if (position.kind !== "position" || !position.known || position.block !== block)
      throw new Error(`READ POSITION: ${JSON.stringify(position)}, expected block ${block}`);
  }

  cartridgeSerial(): string {
    const cdb = new Uint8Array(16);
    putReadAttribute(cdb, ATTRIBUTE_MEDIUM_SERIAL, 2048);
    must("READ ATTRIBUTE", this.tape.command(cdb, "in", ptr(this.scratch), 2048));
    const values = parseAttributes(this.scratch.subarray(0, this.tape.transferredBytes));
    return attributeText(values, ATTRIBUTE_MEDIUM_SERIAL) ?? "";
  }

  /** The last objects through the device, the host's own way. */
  readBack(model: TapeModel, count: number): void {
    const from = Math.max(0, model.objects.length - count);
    must("locate", this.tape.locate(from));
    for (const [index, object] of model.objects.slice(from).entries()) {
      const outcome = this.tape.readBlock(ptr(this.scratch), BLOCK_BYTES_MAX);
      if (outcome.kind === "unreached") throw new Gone();
      const isFilemark = outcome.kind === "checkCondition" && outcome.sense.filemark === true;
      const bytes = this.tape.transferredBytes;
      const same = isFilemark
        ? object === FILEMARK || object.bytes === 0
        : bytes === object.bytes && Bun.hash.xxHash3(this.scratch.subarray(0, bytes)) === object.hash;
      if (!same)
        throw new Error(
          `object ${from + index} read through the device: ${describeOutcome(outcome)}, ${bytes} bytes`,
        );
    }
  }

  // --- writing ---

  /** Brings `barcode` into the drive; every cartridge that moves has all it was sent. */
  load(barcode: string, inDrive: string): void {
    if (inDrive === barcode) return;
    this.shelf.moves++;
    try {
      this.changer.loadDrive(barcode, 0);
    } catch (error) {
      if (!this.session.alive) throw new Gone();
      throw error;
    }
    if (inDrive !== "") this.shelf.model(inDrive).promiseAll();
    must("drive", this.tape.waitReady(10_000));
  }

  /** Writes until the gateway is gone. Starts wherever the host stands in `model`: at its end. */
  writeUntilGone(model: TapeModel, bytesMax: number): never {
    const { random } = this;
    const depth = random.pick([1, 1, 2, 4, 8]);
    const writer = new HostWriter(this.session, { lun: 1, blockBytesMax: BLOCK_BYTES_MAX, depth });
    const filemarkEvery = random.pick([3, 8, 20, 60]);
    const largest = random.pick([4096, 65536, 262144, 262144]);
    let bytes = model.bytes;
    for (;;) {
      if (random.chance(1 / filemarkEvery)) {
        const immediate = random.chance(0.2);
        if (!writer.drain()) this.lost(writer);
        model.send(FILEMARK);
        if (!writer.filemarks(1, immediate)) this.lost(writer);
        if (!immediate) {
          model.promiseAll();
          this.shelf.promises++;
          if (random.chance(0.15)) this.expectAt(model.objects.length);
          if (random.chance(0.08) || bytes > bytesMax) {
            this.moveBack(model);
            bytes = model.bytes;
            if (random.chance(0.25)) this.linger(model);
          }
        }
        continue;
      }
      const size = random.chance(0.02)
        ? random.between(1_048_576, BLOCK_BYTES_MAX)
        : random.between(512, largest);
      this.send(writer, model, size);
      bytes += size;
    }
  }

  /** The tape is cut, and what was written behind the cut is too little for the cache to have written it. */
  private linger(model: TapeModel): never {
    this.writeBlocks(model, this.random.between(1, 3), this.random.between(512, 8192));
    for (;;) {
      must("drive", this.tape.testUnitReady());
      libc.usleep(5000);
    }
  }

  /** Blocks of one size at the end of `model`; all are answered when it returns. */
  writeBlocks(model: TapeModel, blocks: number, size: number, depth = 1): void {
    const writer = new HostWriter(this.session, { lun: 1, blockBytesMax: size, depth });
    for (let n = 0; n < blocks; n++) {
      this.send(writer, model, size);
    }
    if (!writer.drain()) this.lost(writer);
  }

  writeFilemark(model: TapeModel): void {
    model.send(FILEMARK);
    must("filemark", this.tape.writeFilemarks(1));
    model.promiseAll();
  }

  private send(writer: HostWriter, model: TapeModel, size: number): void {
    this.fill(writer.block(), size);
    model.send({ bytes: size, hash: Bun.hash.xxHash3(writer.block().subarray(0, size)) });
    if (!writer.write(size)) this.lost(writer);
    this.shelf.blocksSent++;
    this.shelf.bytesSent += size;
  }

  /** To the beginning, or behind a filemark in the middle: what comes next overwrites. */
  private moveBack(model: TapeModel): void {
    const marks = model.filemarkPositions();
    const toStart = this.random.chance(0.4) || marks.length < 2;
    const position = toStart ? 0 : this.random.pick(marks as [number, ...number[]]) + 1;
    must("move", toStart ? this.tape.rewind() : this.tape.locate(position));
    this.expectAt(position);
    model.cutAt(position);
    this.shelf.cuts++;
  }

  private fill(block: Uint8Array, size: number): void {
    const at = this.random.between(0, POOL_BYTES - size);
    block.set(pool.subarray(at, at + size));
    new TextEncoder().encodeInto(
      `understudy ${this.name} block ${this.shelf.blocksSent} of ${size} bytes\n`,
      block.subarray(0, Math.min(size, 128)),
    );
  }

  private lost(writer: HostWriter): never {
    if (writer.error?.kind === "unreached" || !this.session.alive) throw new Gone();
    throw new Error(
      `the host was told: ${writer.error === null ? "nothing" : describeOutcome(writer.error)}`,
    );
  }
}

function must(what: string, outcome: HostOutcome): void {
  if (outcome.kind === "good") return;
  if (outcome.kind === "unreached") throw new Gone();
  throw new Error(`${what}: ${describeOutcome(outcome)}`);
}
