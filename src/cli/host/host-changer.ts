/** @module A medium changer as a backup server uses it: what is where, and moves. */
import { ptr } from "bun:ffi";
import { moveMedium, readElementStatus } from "./host-cdb.ts";
import { describeOutcome, type HostOutcome, type HostPort, HostReply, outcomeOf } from "./host-port.ts";
import { HostTape } from "./host-tape.ts";

const STATUS_BYTES = 65536;
const TIMEOUT_MS = 900_000;
const READY_MS = 60_000;
const HEADER_BYTES = 8;
const VOLUME_TAG_AT = 12;
const VOLUME_TAG_BYTES = 32;
const TYPES = ["transport", "storage", "importExport", "drive"] as const;

export interface ChangerElement {
  readonly type: (typeof TYPES)[number];
  readonly address: number;
  readonly full: boolean;
  /** Volume tag, "" where there is none. */
  readonly barcode: string;
  /** Storage element that the cartridge came from. */
  readonly source: number | undefined;
}

export class HostChanger {
  readonly #port: HostPort;
  readonly #lun: number;
  readonly #reply = new HostReply();
  readonly #cdb = new Uint8Array(12);
  readonly #status = new Uint8Array(STATUS_BYTES);

  constructor(port: HostPort, lun: number) {
    this.#port = port;
    this.#lun = lun;
  }

  /** Past the unit attentions that a new session meets. */
  waitReady(): HostOutcome {
    return new HostTape(this.#port, this.#lun).waitReady(READY_MS);
  }

  /** All elements, asked for type by type as mtx does (some changers answer "all" wrongly); throws where the
   *  changer does not answer. */
  elements(): ChangerElement[] {
    return TYPES.flatMap((_, index) => {
      const cdb = readElementStatus(this.#cdb, index + 1, 0, 0xffff, STATUS_BYTES);
      this.#port.execute(this.#lun, cdb, "in", ptr(this.#status), STATUS_BYTES, TIMEOUT_MS, this.#reply);
      const outcome = outcomeOf(this.#reply, STATUS_BYTES);
      if (outcome.kind !== "good") throw new Error(`READ ELEMENT STATUS: ${describeOutcome(outcome)}`);
      return parseElementStatus(this.#status.subarray(0, this.#reply.transferredBytes));
    });
  }

  move(source: number, destination: number): HostOutcome {
    const cdb = moveMedium(this.#cdb, 0, source, destination);
    this.#port.execute(this.#lun, cdb, "none", 0, 0, TIMEOUT_MS, this.#reply);
    return outcomeOf(this.#reply, 0);
  }

  /** Brings a cartridge (barcode, or slot counted from 1 as mtx does) into a drive (counted from 0); whatever is in
   *  the drive goes back first. Throws, in words, where that cannot be done. Returns the cartridge's barcode. */
  loadDrive(cartridge: string, driveIndex: number): string {
    const elements = this.elements();
    const drive = elements.filter(({ type }) => type === "drive")[driveIndex];
    if (drive === undefined) throw new Error(`the changer has no drive ${driveIndex}`);
    const slots = elements.filter(({ type }) => type === "storage");
    const wanted = findCartridge(elements, slots, cartridge);
    if (wanted === undefined) throw new Error(`no cartridge ${cartridge} in the changer`);
    if (wanted.address === drive.address) return wanted.barcode;
    if (drive.full) this.#moveOrThrow(drive.address, homeOf(drive, slots));
    this.#moveOrThrow(wanted.address, drive.address);
    return wanted.barcode;
  }

  /** Puts the drive's cartridge back where it came from. */
  unloadDrive(driveIndex: number): void {
    const elements = this.elements();
    const drive = elements.filter(({ type }) => type === "drive")[driveIndex];
    if (drive === undefined || !drive.full) return;
    this.#moveOrThrow(
      drive.address,
      homeOf(
        drive,
        elements.filter(({ type }) => type === "storage"),
      ),
    );
  }

  #moveOrThrow(source: number, destination: number): void {
    const outcome = this.move(source, destination);
    if (outcome.kind !== "good") {
      throw new Error(`MOVE MEDIUM ${source} -> ${destination}: ${describeOutcome(outcome)}`);
    }
  }
}

function findCartridge(
  elements: readonly ChangerElement[],
  slots: readonly ChangerElement[],
  cartridge: string,
): ChangerElement | undefined {
  const byBarcode = elements.find(({ full, barcode }) => full && barcode === cartridge);
  if (byBarcode !== undefined || !/^\d+$/.test(cartridge)) return byBarcode;
  const slot = slots[Number(cartridge) - 1];
  if (slot === undefined || slot.full) return slot;
  return elements.find(({ type, full, source }) => type === "drive" && full && source === slot.address);
}

function homeOf(drive: ChangerElement, slots: readonly ChangerElement[]): number {
  const home = slots.find(({ address, full }) => address === drive.source && !full);
  const slot = home ?? slots.find(({ full }) => !full);
  if (slot === undefined) throw new Error("no slot is free for the cartridge in the drive");
  return slot.address;
}

/** READ ELEMENT STATUS data (SMC-3 §6.11); what is cut off is left out. */
export function parseElementStatus(data: Uint8Array): ChangerElement[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const elements: ChangerElement[] = [];
  let page = HEADER_BYTES;
  while (page + HEADER_BYTES <= view.byteLength) {
    const type = TYPES[view.getUint8(page) - 1];
    const tagged = (view.getUint8(page + 1) & 0x80) !== 0;
    const descriptorBytes = view.getUint16(page + 2);
    const end = page + HEADER_BYTES + (view.getUint32(page + 4) & 0xffffff);
    if (type === undefined || descriptorBytes < VOLUME_TAG_AT) break;
    // tgtd cuts its answer 8 bytes short: what comes after the volume tag may be missing.
    const neededBytes = tagged ? VOLUME_TAG_AT + VOLUME_TAG_BYTES : VOLUME_TAG_AT;
    const last = Math.min(end - descriptorBytes, view.byteLength - neededBytes);
    for (let at = page + HEADER_BYTES; at <= last; at += descriptorBytes) {
      const full = (view.getUint8(at + 2) & 1) !== 0;
      const hasSource = (view.getUint8(at + 9) & 0x80) !== 0;
      const tag = tagged
        ? data.subarray(at + VOLUME_TAG_AT, at + VOLUME_TAG_AT + VOLUME_TAG_BYTES)
        : new Uint8Array(0);
      elements.push({
        type,
        address: view.getUint16(at),
        full,
        barcode: volumeTag(tag),
        source: hasSource ? view.getUint16(at + 10) : undefined,
      });
    }
    page = end;
  }
  return elements;
}

/** 32 characters, the last ones of them a sequence number; padded with spaces or zero bytes. */
function volumeTag(tag: Uint8Array): string {
  let text = "";
  for (const code of tag) {
    if (code < 0x21 || code > 0x7e) break;
    text += String.fromCharCode(code);
  }
  return text;
}
