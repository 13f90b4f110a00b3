/** @module A library as the director sees it: elements, cartridges, a robot that moves them. The port of every kind of
 *  library: files here, real changers later. Outcomes carry the sense that an SMC unit would give. */
import type { Barcode, DriveId, SerialNumber } from "../base/brands.ts";

/** Element addresses of an embedded library. */
export const TRANSPORT_ADDRESS = 0;
export const FIRST_DRIVE_ADDRESS = 256;
export const FIRST_MAIL_SLOT_ADDRESS = 768;
export const FIRST_SLOT_ADDRESS = 1024;

/** Why a drive is out, until an operator returns it. */
export interface DriveFailure {
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

export interface DriveElement {
  readonly kind: "drive";
  readonly address: number;
  readonly id: DriveId;
  readonly serial: SerialNumber;
  /** Stands by for another drive; never coupled while nothing is wrong. */
  readonly isSpare: boolean;
  readonly barcode: Barcode | null;
  readonly failure: DriveFailure | null;
}

export interface SlotElement {
  readonly kind: "slot";
  readonly address: number;
  readonly barcode: Barcode | null;
}

/** An import/export element: where cartridges come in and go out. */
export interface MailSlotElement {
  readonly kind: "mailSlot";
  readonly address: number;
  readonly barcode: Barcode | null;
}

export type LibraryElement = DriveElement | SlotElement | MailSlotElement;

export interface CartridgeEntry {
  readonly barcode: Barcode;
  readonly serial: SerialNumber;
  readonly capacityBytes: number;
  /** Its own slot. */
  readonly homeAddress: number;
  /** Kept in reserve for a cartridge that fails; not shown to backup servers. */
  readonly isSpare: boolean;
  /** The barcode that servers see (RED-08); null: they do not see it. */
  readonly shown: Barcode | null;
  /** It failed and is never used again. */
  readonly hasFailed: boolean;
  /** Good, and kept for one that fails. */
  readonly isReserve: boolean;
  /** Where it is now. */
  readonly address: number;
}

export interface Inventory {
  readonly drives: readonly DriveElement[];
  readonly slots: readonly SlotElement[];
  readonly mailSlots: readonly MailSlotElement[];
  readonly cartridges: readonly CartridgeEntry[];
}

export type MoveRefusal =
  | "noSuchElement"
  | "sourceEmpty"
  | "destinationFull"
  /** The robot itself failed and stays so until it is repaired. */
  | "jam"
  /** The drive does not let go of the cartridge. */
  | "stuck"
  | "removalPrevented"
  /** The drive does not take the cartridge; it was put back. */
  | "loadFailed";

export type MoveOutcome =
  | { readonly kind: "moved"; readonly barcode: Barcode }
  | {
      readonly kind: "refused";
      readonly reason: MoveRefusal;
      readonly text: string;
      readonly key: number;
      readonly asc: number;
      readonly ascq: number;
    };

export interface Robot {
  inventory(): Inventory;
  /** Moves one cartridge. Moves are carried out one after the other. */
  moveMedium(sourceAddress: number, destinationAddress: number): Promise<MoveOutcome>;
}

/** What an operator did with cartridges by hand. `text`: one sentence. */
export type StockOutcome =
  | { readonly kind: "done"; readonly barcode: Barcode; readonly text: string }
  | { readonly kind: "notFound" | "conflict"; readonly text: string };

/** The robot's end of a drive. Promises, because the drive lives in a Worker of its own. */
export interface DriveBay {
  /** null: taken and threaded; else words that say why not. */
  insert(cartridgePath: string): Promise<string | null>;
  /** "silent": the drive does not answer (hung, or its Worker is gone). */
  eject(): Promise<"ejected" | "empty" | "stuck" | "prevented" | "silent">;
}

const REFUSALS: Readonly<Record<MoveRefusal, { key: number; asc: number; ascq: number }>> = {
  noSuchElement: { key: 0x5, asc: 0x21, ascq: 0x01 },
  sourceEmpty: { key: 0x5, asc: 0x3b, ascq: 0x0e },
  destinationFull: { key: 0x5, asc: 0x3b, ascq: 0x0d },
  jam: { key: 0x4, asc: 0x15, ascq: 0x01 },
  stuck: { key: 0x4, asc: 0x53, ascq: 0x00 },
  removalPrevented: { key: 0x5, asc: 0x53, ascq: 0x02 },
  loadFailed: { key: 0x4, asc: 0x53, ascq: 0x00 },
};

export function refused(reason: MoveRefusal, text: string): MoveOutcome {
  return { kind: "refused", reason, text, ...REFUSALS[reason] };
}
