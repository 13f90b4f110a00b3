/** @module What an operator does to the stock of cartridges: adds new ones, takes one out (export), brings one back (import).
 *  Pure but for the new cartridge's file.
 *  (1) A cartridge in a drive is neither taken out nor replaced: it is unloaded by the server first.
 *  (2) An exported cartridge keeps its file, its serial and what it is to servers; no element holds it.
 *  (3) What comes in lies in a mail slot where there is a free one, since servers look there; else in a slot. What is kept
 *      in reserve lies in a slot, where servers do not see it. */
import { existsSync } from "node:fs";
import { type Barcode, isMalformed, parseBarcode, parseSerialNumber } from "../base/brands.ts";
import type { MakeCartridge } from "./create.ts";
import { FIRST_MAIL_SLOT_ADDRESS, FIRST_SLOT_ADDRESS, type StockOutcome } from "./robot.ts";
import { cartridgePath, type LibraryState } from "./state.ts";

type Entry = LibraryState["cartridges"][number];
type Slot = LibraryState["slots"][number];

export interface NewStock {
  /** null: the next of UND001L8, UND002L8, ... */
  readonly barcode: Barcode | null;
  readonly capacityBytes: number;
  readonly earlyWarningBytes: number;
  /** Kept for one that fails: servers do not see it. */
  readonly isSpare: boolean;
}

/** `state` null: nothing changes. */
export interface StockChange {
  readonly outcome: StockOutcome;
  readonly state: LibraryState | null;
}

const NUMBERS_MAX = 999;

function no(kind: "notFound" | "conflict", text: string): StockChange {
  return { outcome: { kind, text }, state: null };
}

/** So many import/export elements; one that holds a cartridge stays, whatever the setting says. */
export function withMailSlots(state: LibraryState, count: number): LibraryState {
  const old = state.mailSlots ?? [];
  const mailSlots: Slot[] = [];
  for (let index = 0; index < Math.max(count, old.length); index++) {
    const address = FIRST_MAIL_SLOT_ADDRESS + index;
    const held = old.find((slot) => slot.address === address)?.barcode ?? null;
    if (index < count || held !== null) mailSlots.push({ address, barcode: held });
  }
  return { ...state, mailSlots };
}

export function added(
  state: LibraryState,
  wanted: NewStock,
  directory: string,
  make: MakeCartridge | undefined,
): StockChange {
  if (make === undefined) return no("conflict", "cartridges of this library cannot be made");
  const barcode = wanted.barcode ?? nextBarcode(state, directory);
  if (barcode === null) return no("conflict", "no barcode is left between UND001L8 and UND999L8: name one");
  if (all(state).some((entry) => entry.barcode === barcode || entry.shownAs === barcode))
    return no("conflict", `there is a cartridge ${barcode} already`);
  const path = cartridgePath(directory, barcode);
  if (existsSync(path)) return no("conflict", `${path} is there already`);
  const place = wanted.isSpare ? freeSlot(state, null) : freePlace(state, null);
  if (place === null) return no("conflict", "no slot is free");
  const serial = nextSerial(state);
  if (isMalformed(serial)) return no("conflict", `serial number: expected ${serial.expected}`);
  const { capacityBytes, earlyWarningBytes, isSpare } = wanted;
  const why = make(path, { barcode, serial, capacityBytes, earlyWarningBytes });
  if (why !== null) return no("conflict", `${path}: ${why}`);
  const homeAddress = freeSlot(state, null)?.address ?? place.address;
  const entry: Entry = { barcode, serial, capacityBytes, homeAddress, isSpare };
  const what = isSpare ? "new, kept for one that fails," : "new,";
  return {
    outcome: { kind: "done", barcode, text: `${barcode} is ${what} in ${placeText(place)}` },
    state: put({ ...state, cartridges: [...state.cartridges, entry] }, place, barcode),
  };
}

export function exported(state: LibraryState, barcode: Barcode): StockChange {
  const entry = state.cartridges.find((one) => one.barcode === barcode);
  if (entry === undefined) {
    if (state.exported?.some((one) => one.barcode === barcode))
      return no("conflict", `${barcode} is exported already`);
    return no("notFound", `there is no cartridge ${barcode}`);
  }
  const drive = state.drives.find((one) => one.barcode === barcode);
  if (drive !== undefined)
    return no("conflict", `${barcode} lies in drive ${drive.id}: let the server unload it first`);
  const empty = (slot: Slot): Slot => (slot.barcode === barcode ? { ...slot, barcode: null } : slot);
  return {
    outcome: { kind: "done", barcode, text: `${barcode} is exported; its file is kept` },
    state: {
      ...state,
      slots: state.slots.map(empty),
      ...(state.mailSlots === undefined ? {} : { mailSlots: state.mailSlots.map(empty) }),
      cartridges: state.cartridges.filter((one) => one !== entry),
      exported: [...(state.exported ?? []), entry],
    },
  };
}

export function imported(state: LibraryState, barcode: Barcode): StockChange {
  const entry = state.exported?.find((one) => one.barcode === barcode);
  if (entry === undefined) {
    const known = state.cartridges.some((one) => one.barcode === barcode);
    return known
      ? no("conflict", `${barcode} is in the library`)
      : no("notFound", `no cartridge ${barcode} was exported`);
  }
  const place = freePlace(state, entry.homeAddress);
  if (place === null) return no("conflict", "no slot is free");
  // Its own slot may have another owner by now.
  const homeAddress = freeSlot(state, entry.homeAddress)?.address ?? place.address;
  return {
    outcome: { kind: "done", barcode, text: `${barcode} is back, in ${placeText(place)}` },
    state: put(
      {
        ...state,
        cartridges: [...state.cartridges, { ...entry, homeAddress }],
        exported: (state.exported ?? []).filter((one) => one !== entry),
      },
      place,
      barcode,
    ),
  };
}

function all(state: LibraryState): readonly Entry[] {
  return [...state.cartridges, ...(state.exported ?? [])];
}

/** A slot that is empty and nobody's home, its own one first: a cartridge that is in a drive comes back to its home. */
function freeSlot(state: LibraryState, home: number | null): Slot | null {
  const homes = new Set(state.cartridges.map(({ homeAddress }) => homeAddress));
  const free = state.slots.filter((slot) => slot.barcode === null && !homes.has(slot.address));
  return free.find((slot) => slot.address === home) ?? free[0] ?? null;
}

function freePlace(state: LibraryState, home: number | null): Slot | null {
  const mailSlot = state.mailSlots?.find((slot) => slot.barcode === null);
  // A mail slot is no home: without a slot for later there is no room.
  const slot = freeSlot(state, home);
  return slot === null ? null : (mailSlot ?? slot);
}

function put(state: LibraryState, place: Slot, barcode: Barcode): LibraryState {
  const fill = (slot: Slot): Slot => (slot.address === place.address ? { ...slot, barcode } : slot);
  return {
    ...state,
    slots: state.slots.map(fill),
    ...(state.mailSlots === undefined ? {} : { mailSlots: state.mailSlots.map(fill) }),
  };
}

function placeText({ address }: Slot): string {
  return address >= FIRST_SLOT_ADDRESS
    ? `slot ${address - FIRST_SLOT_ADDRESS + 1}`
    : `mail slot ${address - FIRST_MAIL_SLOT_ADDRESS + 1}`;
}

function nextBarcode(state: LibraryState, directory: string): Barcode | null {
  const taken = new Set<string>(all(state).map(({ barcode }) => barcode));
  for (let number = 1; number <= NUMBERS_MAX; number++) {
    const barcode = parseBarcode(`UND${String(number).padStart(3, "0")}L8`);
    if (isMalformed(barcode)) return null;
    if (!taken.has(barcode) && !existsSync(cartridgePath(directory, barcode))) return barcode;
  }
  return null;
}

/** One more than the highest: a serial number is never given twice. */
function nextSerial(state: LibraryState) {
  const prefix = (state.drives[0]?.serial ?? "UND").replace(/D\d+$/, "");
  const numbers = all(state).map(({ serial }) => Number(/C(\d+)$/.exec(serial)?.[1] ?? 0));
  const next = Math.max(0, ...numbers) + 1;
  return parseSerialNumber(`${prefix}C${String(next).padStart(3, "0")}`);
}
