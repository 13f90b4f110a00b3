/** @module The order mailbox between the front and the coupled drive's Worker: one foreground command (a read or a
 *  movement) at a time. The drive carries it out once it has taken every entry of the journal, so what the host asks
 *  is always answered from the medium as the host wrote it.
 *
 *  An order survives its drive: it stays pending while another drive takes over, and that one carries it out. */
import * as at from "../../../wasm/ring/layout.ts";
import type { DeviceMemory } from "./device-memory.ts";

export class OrderMailbox {
  private readonly view: DataView;
  private readonly bytes: Uint8Array;

  constructor(private readonly device: DeviceMemory) {
    this.view = device.shared.view;
    this.bytes = device.shared.bytes;
  }

  // --- the front's side ---

  /** `before`: logical object number at which the drive must stand first (-1: anywhere). */
  issue(cdb: Uint8Array, dataAt: number, dataBytes: number, blockBytes: number, before: number): void {
    this.bytes.set(cdb, at.ORDER_CDB);
    this.view.setInt32(at.ORDER_DATA_AT, dataAt, true);
    this.view.setInt32(at.ORDER_DATA_BYTES, dataBytes, true);
    this.view.setInt32(at.ORDER_BLOCK_BYTES, blockBytes, true);
    this.view.setFloat64(at.ORDER_BEFORE, before, true);
    Atomics.add(this.device.shared.words, at.ORDER_SEQUENCE >> 2, 1);
    this.device.wakeDrive();
  }

  /** Gives up on a pending order (its drive is gone and none will follow). */
  cancel(): void {
    this.device.setWord(at.ORDER_DONE, this.device.word(at.ORDER_SEQUENCE));
  }

  get pending(): boolean {
    return this.device.word(at.ORDER_SEQUENCE) !== this.device.word(at.ORDER_DONE);
  }

  get status(): number {
    return this.view.getInt32(at.ORDER_STATUS, true);
  }
  get transferredBytes(): number {
    return this.view.getInt32(at.ORDER_TRANSFERRED, true);
  }
  get sense(): Uint8Array {
    return this.bytes.subarray(
      at.ORDER_SENSE,
      at.ORDER_SENSE + this.view.getInt32(at.ORDER_SENSE_BYTES, true),
    );
  }
  get position(): number {
    return this.view.getFloat64(at.ORDER_POSITION, true);
  }
  get fileNumber(): number {
    return this.view.getFloat64(at.ORDER_FILE_NUMBER, true);
  }
  get remainingBytes(): number {
    return this.view.getFloat64(at.ORDER_REMAINING, true);
  }

  // --- the drive's side ---

  get cdb(): Uint8Array {
    return this.bytes.subarray(at.ORDER_CDB, at.ORDER_CDB + 16);
  }
  get dataAt(): number {
    return this.view.getInt32(at.ORDER_DATA_AT, true) >>> 0;
  }
  get dataBytes(): number {
    return this.view.getInt32(at.ORDER_DATA_BYTES, true);
  }
  get blockBytes(): number {
    return this.view.getInt32(at.ORDER_BLOCK_BYTES, true);
  }
  get before(): number {
    return this.view.getFloat64(at.ORDER_BEFORE, true);
  }

  finish(
    status: number,
    transferredBytes: number,
    sense: Uint8Array,
    senseBytes: number,
    position: number,
    fileNumber: number,
    remainingBytes: number,
  ): void {
    this.view.setInt32(at.ORDER_STATUS, status, true);
    this.view.setInt32(at.ORDER_TRANSFERRED, transferredBytes, true);
    this.view.setInt32(at.ORDER_SENSE_BYTES, senseBytes, true);
    for (let i = 0; i < senseBytes; i++) this.bytes[at.ORDER_SENSE + i] = sense[i] as number;
    this.view.setFloat64(at.ORDER_POSITION, position, true);
    this.view.setFloat64(at.ORDER_FILE_NUMBER, fileNumber, true);
    this.view.setFloat64(at.ORDER_REMAINING, remainingBytes, true);
    this.device.setWord(at.ORDER_DONE, this.device.word(at.ORDER_SEQUENCE));
    this.device.wakeFront();
  }
}
