/** @module A medium changer as a backup server uses it: what is where, and moves. */
import { ptr } from "bun:ffi";
import { CommandReply } from "../../base/command-reply.ts";
import { CdbBuffer, putMoveMedium, putReadElementStatus } from "../../scsi/cdb.ts";
import { parseElementStatus } from "../../scsi/replies.ts";
import { describeOutcome, type HostOutcome, type HostPort, outcomeOf } from "./host-port.ts";
import { HostTape } from "./host-tape.ts";

const STATUS_BYTES = 65536;
const TIMEOUT_MS = 900_000;
const READY_MS = 60_000;
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
  readonly #reply = new CommandReply();
  readonly #cdb = new CdbBuffer();
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
      const cdb = this.#cdb.cut(putReadElementStatus(this.#cdb.bytes, STATUS_BYTES, { type: index + 1 }));
      this.#port.execute(this.#lun, cdb, "in", ptr(this.#status), STATUS_BYTES, TIMEOUT_MS, this.#reply);
      const outcome = outcomeOf(this.#reply, STATUS_BYTES);
      if (outcome.kind !== "good") throw new Error(`READ ELEMENT STATUS: ${describeOutcome(outcome)}`);
      return changerElements(this.#status.subarray(0, this.#reply.transferredBytes));
    });
  }

  move(source: number, destination: number): HostOutcome {
    const cdb = this.#cdb.cut(putMoveMedium(this.#cdb.bytes, 0, source, destination));
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

/** The elements of READ ELEMENT STATUS data, of the types that there are. */
export function changerElements(data: Uint8Array): ChangerElement[] {
  return (parseElementStatus(data)?.elements ?? []).flatMap(
    ({ type: code, address, full, barcode, source }) => {
      const type = TYPES[code - 1];
      if (type === undefined) return [];
      return { type, address, full, barcode: barcode ?? "", source: source ?? undefined };
    },
  );
}
