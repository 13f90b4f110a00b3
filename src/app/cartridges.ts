/** @module `understudy cartridge list|read`: cartridge files by themselves, read with the product's own code. */

import { ptr } from "bun:ffi";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CartridgeFacts, CartridgeFault, CartridgePort, CartridgeRecord } from "../cli/ports.ts";
import { Cartridge } from "../device/file/cartridge.ts";
import { BLOCK_BYTES_MAX } from "../device/file/layout.ts";

import { changeCartridges } from "./cartridge-change.ts";

const SUFFIX = ".tape";

export const cartridgePort: CartridgePort = {
  list(path) {
    return pathsOf(path).map(factsOf);
  },
  change: changeCartridges,
  *read(path): Generator<CartridgeRecord | CartridgeFault> {
    const cartridge = Cartridge.open(path, { readOnly: true });
    if (!(cartridge instanceof Cartridge)) {
      yield { kind: "fault", text: `${path}: ${cartridge.why}` };
      return;
    }
    const buffer = new Uint8Array(new ArrayBuffer(BLOCK_BYTES_MAX));
    const address = Number(ptr(buffer));
    try {
      for (;;) {
        const position = cartridge.place.lba;
        const met = cartridge.readBlock(address, BLOCK_BYTES_MAX);
        if (met === "block") yield { kind: "block", position, data: buffer.subarray(0, cartridge.metBytes) };
        else if (met === "filemark") yield { kind: "filemark", position };
        else {
          if (met === "damaged") yield { kind: "fault", text: `${path}: record ${position} is damaged` };
          return;
        }
      }
    } finally {
      cartridge.close();
    }
  },
};

function pathsOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => name.endsWith(SUFFIX))
      .sort()
      .map((name) => join(path, name));
  } catch {
    return [path];
  }
}

function factsOf(path: string): CartridgeFacts | CartridgeFault {
  const cartridge = Cartridge.open(path, { readOnly: true });
  if (!(cartridge instanceof Cartridge))
    return { kind: "fault", text: `${cartridge.path}: ${cartridge.why}` };
  const { label, endOfData } = cartridge;
  const facts: CartridgeFacts = {
    kind: "cartridge",
    path,
    barcode: label.barcode,
    serial: label.serial,
    capacityBytes: label.capacityBytes,
    usedBytes: endOfData.usedBytes,
    blocks: endOfData.lba - endOfData.fileNumber,
    filemarks: endOfData.fileNumber,
    writeProtected: label.writeProtected,
  };
  cartridge.close();
  return facts;
}
