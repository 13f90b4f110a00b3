/** @module The tape as the host believes it to be: cartridge, position, what still fits (rules 2, 5 and 7). Plain state
 *  that would travel in a handover; the tee changes it, nobody else. */
import * as at from "../../../wasm/ring/layout.ts";
import type { Sense } from "../../scsi/sense.ts";
import { initializingCommandRequired, interventionRequired, mediumNotPresent } from "../../scsi/senses.ts";
import { emptyMedium } from "../../scsi/unit/ports.ts";
import { TapePosition } from "../../scsi/unit/tape-position.ts";
import type { DeviceMemory } from "./device-memory.ts";

/** A cartridge as the director hands it to the tee. */
export interface LoadedCartridge {
  readonly image: number;
  readonly barcode: string;
  readonly serial: string;
  readonly capacityBytes: number;
  readonly remainingBytes: number;
  readonly writeProtected: boolean;
  readonly densityCode: number;
  readonly mediumType: number;
  /** After a restart of the gateway: writes are refused until the host positions (rule 7). */
  readonly mustPosition: boolean;
}

export class HostTapeState {
  readonly medium = emptyMedium();
  image = 0;
  /** Logical object number of the host's next object, and filemarks before it. */
  position = 0;
  fileNumber = 0;
  /** Writes are refused until the host positions. */
  mustPosition = false;
  /** The director cannot offer this device now (a journal that could not be drained). */
  outOfService = false;
  private readonly reported = new TapePosition();

  constructor(
    private readonly device: DeviceMemory,
    private readonly padBytes: number,
  ) {}

  /** An entry at position 0 begins the cartridge's image anew: what came before is no part of it. */
  beganImage(J: number): void {
    const { device } = this;
    device.set(at.IMAGE_START, -1);
    device.set(at.IMAGE_START_SEQUENCE, device.get(at.SEQUENCE) - 1);
    device.set(at.IMAGE_START, J);
  }

  /** What is on the cartridge is not, or not only, what the journal holds. */
  forgetImage(): void {
    this.device.set(at.IMAGE_START, -1);
  }

  load(cartridge: LoadedCartridge): void {
    this.forgetImage();
    this.image = cartridge.image;
    this.device.set(at.IMAGE, cartridge.image);
    const { barcode, serial, capacityBytes, remainingBytes, writeProtected, densityCode, mediumType } =
      cartridge;
    const identity = {
      barcode,
      serial,
      capacityBytes,
      remainingBytes,
      writeProtected,
      densityCode,
      mediumType,
    };
    Object.assign(this.medium, identity, { loaded: true, present: true });
    this.position = this.fileNumber = 0;
    this.mustPosition = cartridge.mustPosition;
    this.outOfService = false;
  }

  unload(): void {
    this.forgetImage();
    Object.assign(this.medium, {
      loaded: false,
      present: false,
      barcode: "",
      serial: "",
      writeProtected: false,
    });
    this.position = this.fileNumber = 0;
  }

  notReady(): Sense | null {
    if (this.outOfService) return interventionRequired;
    if (this.medium.loaded) return null;
    return this.medium.present ? initializingCommandRequired : mediumNotPresent;
  }

  /** Rule 5: what was received counts, not what the drive has taken. */
  get inEarlyWarning(): boolean {
    return this.medium.remainingBytes < this.padBytes;
  }

  wrote(objects: number, bytes: number): void {
    this.position += objects;
    this.medium.remainingBytes -= bytes;
  }

  wroteFilemarks(count: number): void {
    this.position += count;
    this.fileNumber += count;
  }

  /** The drive has moved for the host. `remainingBytes` is what it says itself (-1: nothing). */
  moved(
    operation: string,
    position: number,
    fileNumber: number,
    readBytes: number,
    remainingBytes: number,
  ): void {
    const { medium } = this;
    if (position >= 0) {
      this.position = position;
      this.fileNumber = fileNumber;
      this.mustPosition = false;
    }
    // Drives tell what is left behind the end of data, so in mid-tape it is a lower bound.
    if (this.position === 0) medium.remainingBytes = medium.capacityBytes;
    else if (operation === "read") medium.remainingBytes = Math.max(0, medium.remainingBytes - readBytes);
    else if (remainingBytes >= 0) medium.remainingBytes = remainingBytes;
  }

  /** READ POSITION: the host's position first, and what the tape lacks last (rule 2). */
  report(): TapePosition {
    const { reported, device } = this;
    const received = device.get(at.RECEIVED);
    const onTape = device.get(at.ON_TAPE);
    reported.bop = this.position === 0;
    reported.eop = this.medium.capacityBytes > 0 && this.inEarlyWarning;
    reported.first = this.position;
    reported.fileNumber = this.fileNumber;
    reported.positionUnknown = this.mustPosition || !this.medium.present;
    reported.last =
      onTape >= received ? this.position : Math.min(this.position, device.get(at.ON_TAPE_POSITION));
    reported.blocksInBuffer = this.position - reported.last;
    reported.bytesInBuffer = reported.blocksInBuffer === 0 ? 0 : received - onTape;
    return reported;
  }
}
