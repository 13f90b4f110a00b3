/** @module A cartridge that is a file (docs/FORMATS.md, "Cartridge file"): header page, then records end to end.
 *  (1) End of data is the end of the file. Writing at a place in mid-tape first cuts the file there.
 *  (2) A record is whole or not on the tape: what a broken write left at the end is cut off at opening.
 *  (3) Each mount has a number, kept in the file: a drive that finds another one has lost its cartridge and writes no
 *      more. A hung drive that comes back after the robot took its cartridge so harms nobody.
 *  (4) Block data goes straight between its native address and the file; positions are plain numbers. */
import { ptr } from "bun:ffi";
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import {
  checked,
  EIO,
  ENOSPC,
  errorText,
  libc,
  O_RDONLY,
  O_RDWR,
  openFile,
  preadFully,
  pwriteFully,
} from "../../base/ffi.ts";
import { bunHash64, type Hash64 } from "./hash.ts";
import { SparseIndex } from "./index-sparse.ts";
import {
  type CartridgeLabel,
  type CartridgeSpec,
  DENSITY_LTO8,
  decodeLabel,
  encodeLabel,
  MEDIUM_TYPE_LTO8,
} from "./label.ts";
import {
  getU64,
  HINT_AT,
  HINT_BYTES,
  HINT_HASH_AT,
  HINT_OFFSET_AT,
  MOUNTS_AT,
  MOUNTS_BYTES,
  PAGE_BYTES,
  paddedBytes,
  RECORD_BLOCK,
  RECORD_FILEMARK,
  RECORD_HEADER_BYTES,
  setU64,
} from "./layout.ts";
import { beginning, copyPlace, type Place, RecordIo } from "./record.ts";

export interface CartridgeAccess {
  readonly readOnly?: boolean;
  readonly hash64?: Hash64;
  /** SCRATCH_BYTES that `hash64` can read; default: memory of its own. */
  readonly scratch?: Uint8Array;
}

export interface CartridgeProblem {
  readonly kind: "problem";
  readonly path: string;
  readonly why: string;
}

/** What a step over one record met. */
export type Met = "block" | "filemark" | "endOfData" | "beginning" | "damaged";

function problem(path: string, why: string): CartridgeProblem {
  return { kind: "problem", path, why };
}

/** Makes an empty cartridge; durable when it returns. Never overwrites a file. */
export function createCartridge(
  path: string,
  spec: CartridgeSpec,
  createdMs: number,
): CartridgeLabel | CartridgeProblem {
  const id = crypto.getRandomValues(new Uint32Array(2));
  const label: CartridgeLabel = {
    barcode: spec.barcode,
    serial: spec.serial,
    capacityBytes: spec.capacityBytes,
    earlyWarningBytes: Math.min(spec.earlyWarningBytes, spec.capacityBytes),
    writeProtected: spec.writeProtected ?? false,
    densityCode: spec.densityCode ?? DENSITY_LTO8,
    mediumType: spec.mediumType ?? MEDIUM_TYPE_LTO8,
    createdMs,
    idLow: id[0]!,
    idHigh: id[1]!,
  };
  try {
    const fd = openSync(path, "wx", 0o600);
    try {
      writeSync(fd, encodeLabel(label));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    const directory = openSync(dirname(path), "r");
    fsyncSync(directory);
    closeSync(directory);
  } catch (error) {
    return problem(path, error instanceof Error ? error.message : String(error));
  }
  return label;
}

export class Cartridge {
  readonly path: string;
  readonly label: CartridgeLabel;
  readonly place: Place = beginning();
  readonly endOfData: Place = beginning();
  /** Data bytes of the record that the last step met. */
  metBytes = 0;

  #fd: number;
  readonly #readOnly: boolean;
  readonly #io: RecordIo;
  readonly #index = new SparseIndex();
  readonly #small = new Uint8Array(new ArrayBuffer(64));
  readonly #smallView = new DataView(this.#small.buffer);
  readonly #smallAddress = Number(ptr(this.#small));
  #own = new Uint8Array(0);
  #mounts = 0;
  #hintOffset = 0;

  private constructor(path: string, fd: number, label: CartridgeLabel, access: CartridgeAccess) {
    this.path = path;
    this.label = label;
    this.#fd = fd;
    this.#readOnly = access.readOnly ?? false;
    this.#io = new RecordIo(access.hash64 ?? bunHash64, access.scratch);
  }

  static open(path: string, access: CartridgeAccess = {}): Cartridge | CartridgeProblem {
    const fd = openFile(path, access.readOnly ? O_RDONLY : O_RDWR);
    if (fd < 0) return problem(path, errorText(fd));
    const page = new Uint8Array(new ArrayBuffer(PAGE_BYTES));
    const got = preadFully(fd, Number(ptr(page)), PAGE_BYTES, 0);
    const label = got < 0 ? errorText(got) : decodeLabel(page.subarray(0, got));
    if (typeof label === "string") {
      libc.close(fd);
      return problem(path, label);
    }
    const cartridge = new Cartridge(path, fd, label, access);
    const failed = cartridge.#mount() || cartridge.#findEndOfData(new DataView(page.buffer));
    if (failed < 0) {
      cartridge.close();
      return problem(path, errorText(failed));
    }
    return cartridge;
  }

  /** Takes the cartridge for this drive: whoever had it before notices at its next write. */
  #mount(): number {
    this.#mounts = Math.max(0, this.#readMounts());
    if (this.#readOnly) return 0;
    this.#mounts++;
    setU64(this.#smallView, 0, this.#mounts);
    const put = pwriteFully(this.#fd, this.#smallAddress, MOUNTS_BYTES, MOUNTS_AT);
    return Math.min(put, 0);
  }

  #readMounts(): number {
    const got = preadFully(this.#fd, this.#smallAddress, MOUNTS_BYTES, MOUNTS_AT);
    return got === MOUNTS_BYTES ? getU64(this.#smallView, 0) : -1;
  }

  /** How often it was mounted for writing in its life. */
  get mounts(): number {
    return this.#mounts;
  }

  /** false: another drive has mounted this cartridge since. */
  get isOurs(): boolean {
    return this.#fd >= 0 && this.#readMounts() === this.#mounts;
  }

  #load(offset: number): boolean {
    const { idLow, idHigh } = this.label;
    if (!this.#io.load(this.#fd, offset, idLow, idHigh)) return false;
    this.#index.note(this.#io.lba, offset);
    return true;
  }

  #findEndOfData(page: DataView): number {
    const fileBytes = checked(libc.lseek(this.#fd, 0, 2));
    if (fileBytes < 0) return fileBytes;
    const place = this.place;
    const hint = getU64(page, HINT_AT + HINT_OFFSET_AT);
    const hintHash = Bun.hash.xxHash3(new Uint8Array(page.buffer, HINT_AT, HINT_HASH_AT));
    const hintFits = hint !== 0 && page.getBigUint64(HINT_AT + HINT_HASH_AT, true) === hintHash;
    if (hintFits && this.#load(hint) && this.#io.endOffset <= fileBytes) {
      this.#hintOffset = hint;
      this.#io.behind(place);
    }
    const durableOffset = place.offset;
    while (place.offset + RECORD_HEADER_BYTES <= fileBytes && this.#load(place.offset)) {
      if (this.#io.endOffset > fileBytes || this.#io.lba !== place.lba) break;
      this.#io.behind(place);
    }
    this.#dropTorn(durableOffset);
    if (place.offset < fileBytes && !this.#readOnly) {
      const cut = checked(libc.ftruncate(this.#fd, place.offset));
      if (cut < 0) return cut;
    }
    copyPlace(place, this.endOfData);
    this.rewind();
    return 0;
  }

  /** Steps back over records at the end, behind the last durable one, whose data does not fit its hash. */
  #dropTorn(durableOffset: number): void {
    const place = this.place;
    while (place.offset > durableOffset && this.#load(place.previousOffset)) {
      if (this.#dataIsWhole()) return;
      this.#io.before(place);
    }
  }

  /** Reads the data of the record loaded last into a buffer of its own and checks it. */
  #dataIsWhole(): boolean {
    const bytes = this.#io.dataBytes;
    if (bytes === 0) return true;
    if (this.#own.length < bytes) this.#own = new Uint8Array(new ArrayBuffer(bytes));
    const address = Number(ptr(this.#own));
    const got = preadFully(this.#fd, address, bytes, this.#io.offset + RECORD_HEADER_BYTES);
    return got === bytes && this.#io.dataFits(address, bunHash64);
  }

  /** There are blocks behind the last filemark. */
  get endsInFile(): boolean {
    return this.endOfData.previousOffset > this.endOfData.previousFilemarkOffset;
  }

  get atEndOfData(): boolean {
    return this.place.offset >= this.endOfData.offset;
  }

  /** Data bytes from the beginning to here. */
  get usedBytes(): number {
    return this.place.usedBytes;
  }

  // --- writing ---

  /** Writes one block at the place and goes behind it; 0 or -errno (the tape then ends at the place). */
  writeBlock(address: number, bytes: number): number {
    return this.#append(RECORD_BLOCK, address, bytes);
  }

  writeFilemark(): number {
    return this.#append(RECORD_FILEMARK, 0, 0);
  }

  #append(kind: number, address: number, bytes: number): number {
    const place = this.place;
    if (!this.atEndOfData) {
      const cut = this.cutHere();
      if (cut < 0) return cut;
    }
    const recordBytes = RECORD_HEADER_BYTES + paddedBytes(bytes);
    const put = this.#io.append(this.#fd, place, kind, this.label.idLow, this.label.idHigh, address, bytes);
    if (put !== recordBytes) {
      libc.ftruncate(this.#fd, place.offset);
      return put < 0 ? put : put === 0 ? -EIO : -ENOSPC;
    }
    this.#index.note(place.lba, place.offset);
    place.previousOffset = place.offset;
    if (kind === RECORD_FILEMARK) {
      place.previousFilemarkOffset = place.offset;
      place.fileNumber++;
    }
    place.offset += recordBytes;
    place.lba++;
    place.usedBytes += bytes;
    copyPlace(place, this.endOfData);
    return 0;
  }

  /** Ends the tape at the place; 0 or -errno. */
  cutHere(): number {
    if (this.place.offset <= this.#hintOffset) {
      const put = this.#writeHint(this.place.previousOffset);
      if (put < 0) return put;
    }
    const cut = checked(libc.ftruncate(this.#fd, this.place.offset));
    if (cut < 0) return cut;
    this.#index.truncate(this.place.lba);
    copyPlace(this.place, this.endOfData);
    return 0;
  }

  /** Makes durable what was written; 0 or -errno. */
  sync(): number {
    const done = checked(libc.fdatasync(this.#fd));
    if (done < 0 || this.#readOnly || this.endOfData.previousOffset === this.#hintOffset) return done;
    return this.#writeHint(this.endOfData.previousOffset);
  }

  #writeHint(offset: number): number {
    this.#hintOffset = offset;
    setU64(this.#smallView, HINT_OFFSET_AT, offset);
    bunHash64(this.#smallAddress, HINT_HASH_AT, this.#smallView, HINT_HASH_AT);
    const put = pwriteFully(this.#fd, this.#smallAddress, HINT_BYTES, HINT_AT);
    return Math.min(put, 0);
  }

  // --- moving ---

  rewind(): void {
    const start = this.place;
    start.offset = PAGE_BYTES;
    start.lba = start.fileNumber = start.usedBytes = start.previousOffset = start.previousFilemarkOffset = 0;
  }

  toEndOfData(): void {
    copyPlace(this.endOfData, this.place);
  }

  /** One record towards the end; `metBytes` says its length. */
  forward(): Met {
    if (this.atEndOfData) return "endOfData";
    if (!this.#load(this.place.offset)) return "damaged";
    this.metBytes = this.#io.dataBytes;
    this.#io.behind(this.place);
    return this.#io.kind === RECORD_FILEMARK ? "filemark" : "block";
  }

  /** One record towards the beginning. */
  back(): Met {
    if (this.place.previousOffset === 0) return "beginning";
    if (!this.#load(this.place.previousOffset)) return "damaged";
    this.metBytes = this.#io.dataBytes;
    this.#io.before(this.place);
    return this.#io.kind === RECORD_FILEMARK ? "filemark" : "block";
  }

  /** Reads at most `capacityBytes` of the block at the place to `address` and goes behind it. A block that is longer is
   *  not checked against its hash. "damaged": the place is behind it all the same, if there is a header at all. */
  readBlock(address: number, capacityBytes: number): Met {
    const met = this.forward();
    if (met !== "block") return met;
    const bytes = Math.min(this.metBytes, capacityBytes);
    const got = preadFully(this.#fd, address, bytes, this.#io.offset + RECORD_HEADER_BYTES);
    if (got !== bytes) return "damaged";
    return bytes === this.metBytes && !this.#io.dataFits(address) ? "damaged" : "block";
  }

  /** As `readBlock`, for nobody. */
  verifyBlock(): Met {
    const met = this.forward();
    return met === "block" && !this.#dataIsWhole() ? "damaged" : met;
  }

  /** Goes before logical object `lba` (at most end of data). "damaged": the way is blocked; the place is where it ended. */
  seek(lba: number): Met {
    if (lba >= this.endOfData.lba) {
      this.toEndOfData();
      return "endOfData";
    }
    this.#approach(lba);
    while (this.place.lba < lba) {
      if (this.forward() === "damaged") return "damaged";
    }
    while (this.place.lba > lba) {
      if (this.back() === "damaged") return "damaged";
    }
    return "block";
  }

  /** Starts the walk at the nearest place known. */
  #approach(lba: number): void {
    let best = Math.abs(lba - this.place.lba);
    if (this.endOfData.lba - lba < best) {
      best = this.endOfData.lba - lba;
      this.toEndOfData();
    }
    if (lba < best) {
      best = lba;
      this.rewind();
    }
    const below = this.#index.atOrBefore(lba);
    const above = this.#index.atOrAfter(lba);
    if (below >= 0 && lba - below < best && this.#load(this.#index.offsetOf(below))) {
      best = lba - below;
      this.#io.before(this.place);
    }
    if (above >= 0 && above < this.endOfData.lba && above - lba < best) {
      if (this.#load(this.#index.offsetOf(above))) this.#io.before(this.place);
    }
  }

  /** Goes behind filemark number `fileNumber` (from 1), which must lie after the place and exist. */
  forwardToFile(fileNumber: number): Met {
    // Walking from here, or along the chain of filemarks from the end: whichever is shorter.
    let stepsLeft = this.endOfData.fileNumber - fileNumber + 1;
    while (this.place.fileNumber < fileNumber && stepsLeft-- > 0) {
      if (this.forward() === "damaged") return "damaged";
    }
    if (this.place.fileNumber >= fileNumber) return "filemark";
    this.toEndOfData();
    while (this.place.previousFilemarkOffset !== 0) {
      if (!this.#load(this.place.previousFilemarkOffset)) return "damaged";
      if (this.#io.fileNumber < fileNumber) {
        this.#io.behind(this.place);
        return "filemark";
      }
      this.#io.before(this.place);
    }
    return "damaged";
  }

  /** Goes before the nearest filemark towards the beginning, or to the beginning. */
  backToFilemark(): Met {
    const offset = this.place.previousFilemarkOffset;
    if (offset === 0) {
      this.rewind();
      return "beginning";
    }
    if (!this.#load(offset)) return "damaged";
    this.#io.before(this.place);
    return "filemark";
  }

  /** Object number just behind the nearest filemark before the place (0: none). */
  get fileStartLba(): number {
    const offset = this.place.previousFilemarkOffset;
    return offset !== 0 && this.#load(offset) ? this.#io.lba + 1 : 0;
  }

  close(): void {
    if (this.#fd < 0) return;
    libc.close(this.#fd);
    this.#fd = -1;
  }
}
