/** @module What is on a cartridge file, without a drive: for people (`understudy cartridge list|read`). Opens read only, so
 *  a cartridge that is in a drive may be looked at; what the drive writes meanwhile is not seen. */
import { ptr } from "bun:ffi";
import { Cartridge, type CartridgeProblem } from "./cartridge.ts";
import type { CartridgeLabel } from "./label.ts";
import { BLOCK_BYTES_MAX } from "./layout.ts";

/** One tape file: the blocks between two filemarks. */
export interface TapeFileEntry {
  readonly fileNumber: number;
  /** Object number of its first block. */
  readonly firstLba: number;
  readonly blocks: number;
  readonly bytes: number;
  readonly smallestBlockBytes: number;
  readonly largestBlockBytes: number;
  /** false: it ends at the end of data. */
  readonly endsWithFilemark: boolean;
}

export interface CartridgeListing {
  readonly kind: "listing";
  readonly label: CartridgeLabel;
  readonly files: readonly TapeFileEntry[];
  /** Logical objects in all: blocks and filemarks. */
  readonly objects: number;
  readonly usedBytes: number;
  /** Object number at which reading met damage; null: none. */
  readonly damagedAtLba: number | null;
}

/** Walks the headers alone: quick even for a full cartridge. */
export function listCartridge(path: string): CartridgeListing | CartridgeProblem {
  const cartridge = Cartridge.open(path, { readOnly: true });
  if ("kind" in cartridge) return cartridge;
  const files: TapeFileEntry[] = [];
  let firstLba = 0;
  let blocks = 0;
  let bytes = 0;
  let smallest = 0;
  let largest = 0;
  let damagedAtLba: number | null = null;
  const end = (fileNumber: number, endsWithFilemark: boolean) => {
    const sizes = { smallestBlockBytes: smallest, largestBlockBytes: largest };
    files.push({ fileNumber, firstLba, blocks, bytes, ...sizes, endsWithFilemark });
    firstLba = cartridge.place.lba;
    blocks = bytes = smallest = largest = 0;
  };
  for (;;) {
    const met = cartridge.forward();
    if (met === "filemark") {
      end(cartridge.place.fileNumber - 1, true);
      continue;
    }
    if (met !== "block") {
      if (met === "damaged") damagedAtLba = cartridge.place.lba;
      break;
    }
    const size = cartridge.metBytes;
    smallest = blocks === 0 ? size : Math.min(smallest, size);
    largest = Math.max(largest, size);
    blocks++;
    bytes += size;
  }
  if (blocks > 0) end(cartridge.place.fileNumber, false);
  const { lba, usedBytes } = cartridge.endOfData;
  cartridge.close();
  return { kind: "listing", label: cartridge.label, files, objects: lba, usedBytes, damagedAtLba };
}

export type ReadEnd =
  | { readonly kind: "filemark" | "endOfData" }
  | { readonly kind: "noSuchFile"; readonly files: number }
  | { readonly kind: "damaged"; readonly lba: number };

/** Hands the blocks of one tape file to `take`, in order, each checked against its hash. The view is valid during the
 *  call only. */
export function readTapeFile(
  path: string,
  fileNumber: number,
  take: (block: Uint8Array) => void,
): ReadEnd | CartridgeProblem {
  const cartridge = Cartridge.open(path, { readOnly: true });
  if ("kind" in cartridge) return cartridge;
  try {
    const { endOfData } = cartridge;
    if (fileNumber > endOfData.fileNumber) {
      return { kind: "noSuchFile", files: endOfData.fileNumber + (cartridge.endsInFile ? 1 : 0) };
    }
    if (fileNumber > 0 && cartridge.forwardToFile(fileNumber) === "damaged") {
      return { kind: "damaged", lba: cartridge.place.lba };
    }
    const buffer = new Uint8Array(new ArrayBuffer(BLOCK_BYTES_MAX));
    const address = Number(ptr(buffer));
    for (;;) {
      const { lba } = cartridge.place;
      const met = cartridge.readBlock(address, buffer.length);
      if (met === "block") take(buffer.subarray(0, cartridge.metBytes));
      else if (met === "filemark" || met === "endOfData") return { kind: met };
      else return { kind: "damaged", lba };
    }
  } finally {
    cartridge.close();
  }
}
