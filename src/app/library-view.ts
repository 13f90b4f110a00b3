/** @module The library as the backup server sees it: virtual drives with the cartridges that stand behind them, the
 *  slots, one robot; spares and failed drives are not shown (RED-01, RED-07, RED-08). */
import type { Barcode } from "../base/brands.ts";
import type { ElementStatus, LibraryStatus } from "../base/status.ts";
import type { LibrarySettings } from "../config.ts";
import {
  FIRST_DRIVE_ADDRESS,
  FIRST_MAIL_SLOT_ADDRESS,
  FIRST_SLOT_ADDRESS,
  type Inventory,
  TRANSPORT_ADDRESS,
} from "../library/robot.ts";
import type { Element } from "../scsi/unit/ports.ts";
import type { DeviceDesk } from "./device-desk.ts";

export const VENDOR = "UNDRSTDY";
export const DRIVE_PRODUCT = "VIRTUAL-LTO8";

/** Virtual drive k (from 0) shows at this element address, whatever real drive is behind. */
export function virtualDriveAddress(index: number): number {
  return FIRST_DRIVE_ADDRESS + index;
}

export function virtualElements(inventory: Inventory, desks: readonly DeviceDesk[]): Element[] {
  const cartridges = new Map(inventory.cartridges.map((cartridge) => [cartridge.barcode, cartridge]));
  const shown = (barcode: Barcode | null) =>
    barcode === null ? null : (cartridges.get(barcode)?.shown ?? null);
  // Slots of cartridges that are not shown are not shown either.
  const hidden = new Set(
    inventory.cartridges.filter(({ shown }) => shown === null).map(({ homeAddress }) => homeAddress),
  );
  const elements: Element[] = [
    { type: 1, address: TRANSPORT_ADDRESS, barcode: null, source: null, accessible: true },
  ];
  for (const slot of inventory.slots) {
    if (hidden.has(slot.address)) continue;
    const barcode = shown(slot.barcode);
    elements.push({ type: 2, address: slot.address, barcode, source: null, accessible: true });
  }
  for (const slot of inventory.mailSlots) {
    elements.push({
      type: 3,
      address: slot.address,
      barcode: shown(slot.barcode),
      source: null,
      accessible: true,
    });
  }
  for (const desk of desks) {
    const { cartridge } = desk.state;
    elements.push({
      type: 4,
      address: virtualDriveAddress(desk.index),
      barcode: shown(cartridge),
      source: cartridge === null ? null : (cartridges.get(cartridge)?.homeAddress ?? null),
      accessible: true,
      drive: {
        lun: desk.parts.settings.lun,
        serial: desk.parts.settings.serial,
        vendor: VENDOR,
        product: DRIVE_PRODUCT,
      },
    });
  }
  return elements;
}

const KINDS = { 1: "robot", 2: "slot", 3: "mailSlot", 4: "drive" } as const;

export function libraryStatus(
  kind: LibrarySettings["kind"],
  inventory: Inventory,
  desks: readonly DeviceDesk[],
): LibraryStatus {
  return {
    kind,
    virtual: virtualElements(inventory, desks).map(({ address, type, barcode }) => ({
      address,
      kind: KINDS[type],
      number: numberOf(address),
      barcode,
    })),
    real: [...inventory.drives, ...inventory.slots, ...inventory.mailSlots].map(
      ({ kind, address, barcode }): ElementStatus => ({ address, kind, number: numberOf(address), barcode }),
    ),
  };
}

function numberOf(address: number): number {
  if (address >= FIRST_SLOT_ADDRESS) return address - FIRST_SLOT_ADDRESS + 1;
  if (address >= FIRST_MAIL_SLOT_ADDRESS) return address - FIRST_MAIL_SLOT_ADDRESS + 1;
  return address >= FIRST_DRIVE_ADDRESS ? address - FIRST_DRIVE_ADDRESS + 1 : 1;
}
