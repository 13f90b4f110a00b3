/** @module One record of a cartridge file: built, read and checked in a scratch page with a fixed native address, so
 *  that a block costs one pwritev and nothing is allocated for it. */
import { ptr } from "bun:ffi";
import { checked, libc, preadFully } from "../../base/ffi.ts";
import type { Hash64 } from "./hash.ts";
import {
  BLOCK_BYTES_MAX,
  getU64,
  PAGE_BYTES,
  paddedBytes,
  RECORD_BLOCK,
  RECORD_DATA_BYTES_AT,
  RECORD_DATA_HASH_AT,
  RECORD_FILE_NUMBER_AT,
  RECORD_FILEMARK,
  RECORD_HASHED_BYTES,
  RECORD_HEADER_BYTES,
  RECORD_HEADER_HASH_AT,
  RECORD_ID_AT,
  RECORD_KIND_AT,
  RECORD_LBA_AT,
  RECORD_MAGIC,
  RECORD_MAGIC_AT,
  RECORD_OFFSET_AT,
  RECORD_PREVIOUS_AT,
  RECORD_PREVIOUS_FILEMARK_AT,
  RECORD_USED_BEFORE_AT,
  setU64,
} from "./layout.ts";

/** A place between two records, with all that the record behind it will say. */
export interface Place {
  offset: number;
  lba: number;
  fileNumber: number;
  /** Native bytes of data before this place. */
  usedBytes: number;
  /** Offset of the record before this place; 0: none. */
  previousOffset: number;
  /** Offset of the nearest filemark before this place; 0: none. */
  previousFilemarkOffset: number;
}

export function beginning(): Place {
  return {
    offset: PAGE_BYTES,
    lba: 0,
    fileNumber: 0,
    usedBytes: 0,
    previousOffset: 0,
    previousFilemarkOffset: 0,
  };
}

export function copyPlace(from: Place, to: Place): void {
  to.offset = from.offset;
  to.lba = from.lba;
  to.fileNumber = from.fileNumber;
  to.usedBytes = from.usedBytes;
  to.previousOffset = from.previousOffset;
  to.previousFilemarkOffset = from.previousFilemarkOffset;
}

// --- scratch page ---
const WRITE_HEADER = 0;
const ZEROS = 512;
const READ_HEADER = 1024;
const VECTORS = 1536;
const HASH = 1600;
export const SCRATCH_BYTES = 2048;

export class RecordIo {
  // The record read last by `load`.
  offset = 0;
  kind = 0;
  dataBytes = 0;
  lba = 0;
  fileNumber = 0;
  previousOffset = 0;
  previousFilemarkOffset = 0;
  usedBefore = 0;

  readonly #hash: Hash64;
  readonly #view: DataView;
  readonly #address: number;

  /** `scratch`: SCRATCH_BYTES at an address that `hash` can read (a WASM kernel: in its own memory). */
  constructor(hash: Hash64, scratch: Uint8Array = new Uint8Array(new ArrayBuffer(SCRATCH_BYTES))) {
    this.#hash = hash;
    scratch.fill(0, 0, SCRATCH_BYTES);
    this.#view = new DataView(scratch.buffer, scratch.byteOffset, SCRATCH_BYTES);
    this.#address = Number(ptr(scratch));
  }

  /** Offset behind the record read last. */
  get endOffset(): number {
    return this.offset + RECORD_HEADER_BYTES + paddedBytes(this.dataBytes);
  }

  /** Writes a record at `place` in one call; returns its length in the file, or -errno (nothing is to be trusted then). */
  append(
    fd: number,
    place: Place,
    kind: number,
    idLow: number,
    idHigh: number,
    data: number,
    bytes: number,
  ): number {
    const view = this.#view;
    view.setUint32(WRITE_HEADER + RECORD_MAGIC_AT, RECORD_MAGIC, true);
    view.setUint32(WRITE_HEADER + RECORD_KIND_AT, kind, true);
    setU64(view, WRITE_HEADER + RECORD_DATA_BYTES_AT, bytes);
    view.setUint32(WRITE_HEADER + RECORD_ID_AT, idLow, true);
    view.setUint32(WRITE_HEADER + RECORD_ID_AT + 4, idHigh, true);
    setU64(view, WRITE_HEADER + RECORD_OFFSET_AT, place.offset);
    setU64(view, WRITE_HEADER + RECORD_LBA_AT, place.lba);
    setU64(view, WRITE_HEADER + RECORD_FILE_NUMBER_AT, place.fileNumber);
    setU64(view, WRITE_HEADER + RECORD_PREVIOUS_AT, place.previousOffset);
    setU64(view, WRITE_HEADER + RECORD_PREVIOUS_FILEMARK_AT, place.previousFilemarkOffset);
    setU64(view, WRITE_HEADER + RECORD_USED_BEFORE_AT, place.usedBytes);
    if (bytes === 0) setU64(view, WRITE_HEADER + RECORD_DATA_HASH_AT, 0);
    else this.#hash(data, bytes, view, WRITE_HEADER + RECORD_DATA_HASH_AT);
    this.#hash(this.#address + WRITE_HEADER, RECORD_HASHED_BYTES, view, WRITE_HEADER + RECORD_HEADER_HASH_AT);
    const padBytes = paddedBytes(bytes) - bytes;
    this.#vector(0, this.#address + WRITE_HEADER, RECORD_HEADER_BYTES);
    this.#vector(1, data, bytes);
    this.#vector(2, this.#address + ZEROS, padBytes);
    const count = bytes === 0 ? 1 : padBytes === 0 ? 2 : 3;
    const put = checked(libc.pwritev(fd, this.#address + VECTORS, count, place.offset));
    return put;
  }

  #vector(index: number, address: number, bytes: number): void {
    setU64(this.#view, VECTORS + index * 16, address);
    setU64(this.#view, VECTORS + index * 16 + 8, bytes);
  }

  /** Reads and checks the record header at `offset`; false: there is no valid one. */
  load(fd: number, offset: number, idLow: number, idHigh: number): boolean {
    if (preadFully(fd, this.#address + READ_HEADER, RECORD_HEADER_BYTES, offset) !== RECORD_HEADER_BYTES)
      return false;
    const view = this.#view;
    if (view.getUint32(READ_HEADER + RECORD_MAGIC_AT, true) !== RECORD_MAGIC) return false;
    if (view.getUint32(READ_HEADER + RECORD_ID_AT, true) !== idLow) return false;
    if (view.getUint32(READ_HEADER + RECORD_ID_AT + 4, true) !== idHigh) return false;
    if (getU64(view, READ_HEADER + RECORD_OFFSET_AT) !== offset) return false;
    this.#hash(this.#address + READ_HEADER, RECORD_HASHED_BYTES, view, HASH);
    if (!this.#hashFits(READ_HEADER + RECORD_HEADER_HASH_AT)) return false;
    this.offset = offset;
    this.kind = view.getUint32(READ_HEADER + RECORD_KIND_AT, true);
    this.dataBytes = getU64(view, READ_HEADER + RECORD_DATA_BYTES_AT);
    this.lba = getU64(view, READ_HEADER + RECORD_LBA_AT);
    this.fileNumber = getU64(view, READ_HEADER + RECORD_FILE_NUMBER_AT);
    this.previousOffset = getU64(view, READ_HEADER + RECORD_PREVIOUS_AT);
    this.previousFilemarkOffset = getU64(view, READ_HEADER + RECORD_PREVIOUS_FILEMARK_AT);
    this.usedBefore = getU64(view, READ_HEADER + RECORD_USED_BEFORE_AT);
    return (this.kind === RECORD_BLOCK || this.kind === RECORD_FILEMARK) && this.dataBytes <= BLOCK_BYTES_MAX;
  }

  /** Are the `dataBytes` at `address` the data of the record read last? */
  dataFits(address: number, hash: Hash64 = this.#hash): boolean {
    if (this.dataBytes === 0) return true;
    hash(address, this.dataBytes, this.#view, HASH);
    return this.#hashFits(READ_HEADER + RECORD_DATA_HASH_AT);
  }

  #hashFits(at: number): boolean {
    const view = this.#view;
    return (
      view.getUint32(HASH, true) === view.getUint32(at, true) &&
      view.getUint32(HASH + 4, true) === view.getUint32(at + 4, true)
    );
  }

  /** The place before the record read last. */
  before(to: Place): void {
    to.offset = this.offset;
    to.lba = this.lba;
    to.fileNumber = this.fileNumber;
    to.usedBytes = this.usedBefore;
    to.previousOffset = this.previousOffset;
    to.previousFilemarkOffset = this.previousFilemarkOffset;
  }

  /** The place behind the record read last. */
  behind(to: Place): void {
    const isFilemark = this.kind === RECORD_FILEMARK;
    to.offset = this.endOffset;
    to.lba = this.lba + 1;
    to.fileNumber = this.fileNumber + (isFilemark ? 1 : 0);
    to.usedBytes = this.usedBefore + this.dataBytes;
    to.previousOffset = this.offset;
    to.previousFilemarkOffset = isFilemark ? this.offset : this.previousFilemarkOffset;
  }
}
