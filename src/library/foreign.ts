/** @module A library of others, as its changers tell it, made into the map that our robot keeps.
 *  (1) Where a cartridge is, the changers say; what it is to us (failed, standing in, in reserve) and which drives are out,
 *      our own memory says: the two are joined at each start.
 *  (2) Our addresses are our own and count through: drives 256 on, mail slots 768 on, slots 1024 on; `places` says whose
 *      element of which changer each one is. */
import {
  type Barcode,
  isMalformed,
  parseBarcode,
  parseDriveId,
  parseSerialNumber,
  type SerialNumber,
} from "../base/brands.ts";
import { FIRST_DRIVE_ADDRESS, FIRST_MAIL_SLOT_ADDRESS, FIRST_SLOT_ADDRESS } from "./robot.ts";
import type { LibraryState } from "./state.ts";

export interface ForeignElement {
  readonly type: number;
  readonly address: number;
  readonly full: boolean;
  readonly barcode: string | null;
  readonly source: number | null;
}

export interface ForeignDrive {
  /** Index of its changer. */
  readonly changer: number;
  /** Its element there. */
  readonly element: number;
  readonly isSpare: boolean;
}

export interface Place {
  readonly changer: number;
  readonly address: number;
}

export interface ForeignLibrary {
  readonly state: LibraryState;
  readonly places: ReadonlyMap<number, Place>;
}

export interface ForeignWanted {
  readonly drives: readonly ForeignDrive[];
  /** At the first start the last so many cartridges in slots are kept in reserve. */
  readonly spareCartridges: number;
  /** Of a cartridge that nobody tells the size of. */
  readonly capacityBytes: number;
  /** Begins the serial numbers that we give; the same at each start. */
  readonly serialPrefix: string;
}

const STORAGE = 2;
const IMPORT_EXPORT = 3;
const TRANSFER = 4;

type Entry = LibraryState["cartridges"][number];

function barcodeOf(element: ForeignElement): Barcode | null {
  if (!element.full) return null;
  const barcode = parseBarcode(element.barcode ?? "");
  return isMalformed(barcode) ? null : barcode;
}

/** Words where it cannot be. `changers`: the elements of each. */
export function foreignLibrary(
  changers: readonly (readonly ForeignElement[])[],
  wanted: ForeignWanted,
  before: LibraryState | null,
): ForeignLibrary | string {
  const places = new Map<number, Place>();
  const homes = new Map<string, number>();
  const key = (changer: number, address: number) => `${changer}.${address}`;
  const number = (type: number, first: number): LibraryState["slots"] => {
    const found = changers.flatMap((elements, changer) =>
      elements.filter((element) => element.type === type).map((element) => ({ changer, element })),
    );
    return found.map(({ changer, element }, index) => {
      places.set(first + index, { changer, address: element.address });
      homes.set(key(changer, element.address), first + index);
      return { address: first + index, barcode: barcodeOf(element) };
    });
  };
  const slots = number(STORAGE, FIRST_SLOT_ADDRESS);
  const mailSlots = number(IMPORT_EXPORT, FIRST_MAIL_SLOT_ADDRESS);
  const drives: LibraryState["drives"] = [];
  const sources = new Map<string, number>();
  for (const [index, { changer, element: address, isSpare }] of wanted.drives.entries()) {
    const element = changers[changer]?.find((one) => one.type === TRANSFER && one.address === address);
    if (element === undefined) return `changer ${changer + 1} has no drive at element ${address}`;
    const id = parseDriveId(index + 1);
    const serial = parseSerialNumber(`${wanted.serialPrefix}D${String(index + 1).padStart(2, "0")}`);
    if (isMalformed(id)) return `drives: expected ${id.expected}`;
    if (isMalformed(serial)) return `serial number: expected ${serial.expected}`;
    const barcode = barcodeOf(element);
    const home = homes.get(key(changer, element.source ?? -1));
    if (barcode !== null && home !== undefined) sources.set(barcode, home);
    places.set(FIRST_DRIVE_ADDRESS + index, { changer, address });
    drives.push({
      ...{ id, address: FIRST_DRIVE_ADDRESS + index, serial, isSpare, barcode },
      failure: before?.drives.find((drive) => drive.id === id)?.failure ?? null,
    });
  }
  const cartridges = entriesOf({ drives, slots, mailSlots }, sources, wanted, before);
  const state: LibraryState = {
    ...{ version: 1, name: "library of others", drives, slots, mailSlots, cartridges },
    errors: before?.errors ?? [],
  };
  return { state, places };
}

function entriesOf(
  found: {
    readonly drives: LibraryState["drives"];
    readonly slots: LibraryState["slots"];
    readonly mailSlots: LibraryState["slots"];
  },
  sources: ReadonlyMap<string, number>,
  wanted: ForeignWanted,
  before: LibraryState | null,
): Entry[] {
  const { drives, slots, mailSlots } = found;
  const inSlots = slots.flatMap(({ barcode }) => (barcode === null ? [] : [barcode]));
  const firstSpare = inSlots.length - wanted.spareCartridges;
  const reserve = new Set<string>(before === null ? inSlots.slice(Math.max(0, firstSpare)) : []);
  const taken = new Set(slots.filter(({ barcode }) => barcode !== null).map(({ address }) => address));
  const freeHome = (): number => {
    const slot = slots.find(({ address }) => !taken.has(address));
    if (slot !== undefined) taken.add(slot.address);
    return slot?.address ?? FIRST_SLOT_ADDRESS;
  };
  return [...slots, ...mailSlots, ...drives].flatMap(({ address, barcode }): Entry[] => {
    if (barcode === null) return [];
    const known = before?.cartridges.find((entry) => entry.barcode === barcode);
    if (known !== undefined) return [known];
    const homeAddress = address >= FIRST_SLOT_ADDRESS ? address : (sources.get(barcode) ?? freeHome());
    return [
      {
        barcode,
        // Its own memory tells the real one, where it has any (align compares either).
        serial: barcode as string as SerialNumber,
        capacityBytes: wanted.capacityBytes,
        homeAddress,
        isSpare: reserve.has(barcode),
      },
    ];
  });
}
