/** @module An independent reader of cartridge files, written from docs/FORMATS.md ("Cartridge file") alone: it shares no
 *  code with the program that writes them, so that what it finds on a cartridge is evidence.
 *
 *  Run by itself it prints a listing:  bun src/cli/demo/cartridge-reader.ts FILE.tape */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export interface CartridgeHeader {
  readonly version: number;
  readonly id: bigint;
  readonly barcode: string;
  readonly serial: string;
  readonly capacityBytes: number;
  readonly earlyWarningBytes: number;
  readonly writeProtected: boolean;
  readonly density: number;
  readonly mediumType: number;
  readonly createdMs: number;
}

export interface CartridgeObject {
  readonly kind: "block" | "filemark";
  readonly lba: number;
  readonly fileNumber: number;
  /** Data bytes (0 for a filemark). */
  readonly bytes: number;
  /** Where the data lies in the file. */
  readonly dataOffset: number;
  readonly usedBefore: number;
  /** xxHash3 of the data as the record says. */
  readonly hash: bigint;
}

/** A whole cartridge's sums, by `summarize`. */
export interface CartridgeSummary {
  readonly header: CartridgeHeader;
  readonly blocks: number;
  readonly filemarks: number;
  readonly dataBytes: number;
  /** Bytes behind the last whole record: a write that broke off. */
  readonly tornBytes: number;
}

export class CartridgeDamaged extends Error {
  override readonly name = "CartridgeDamaged";
}

const HEADER_PAGE = 4096;
const RECORD_HEADER = 512;
const BLOCK_BYTES_MAX = 8388608;

export class CartridgeReader {
  readonly path: string;
  readonly header: CartridgeHeader;
  /** Known when the objects were walked to their end. */
  tornBytes = 0;
  readonly #fd: number;
  readonly #fileBytes: number;

  constructor(path: string) {
    this.path = path;
    this.#fd = openSync(path, "r");
    this.#fileBytes = fstatSync(this.#fd).size;
    this.header = this.#readHeader();
  }

  #read(offset: number, bytes: number): Buffer {
    const buffer = Buffer.allocUnsafe(bytes);
    let done = 0;
    while (done < bytes) {
      const got = readSync(this.#fd, buffer, done, bytes - done, offset + done);
      if (got === 0) break;
      done += got;
    }
    return buffer.subarray(0, done);
  }

  #readHeader(): CartridgeHeader {
    const page = this.#read(0, HEADER_PAGE);
    if (page.length < HEADER_PAGE) throw new CartridgeDamaged(`${this.path}: shorter than its header page`);
    if (page.toString("latin1", 0, 8) !== "USTAPE01")
      throw new CartridgeDamaged(`${this.path}: wrong signature`);
    const version = page.readUInt32LE(8);
    if (version !== 1) throw new CartridgeDamaged(`${this.path}: version ${version}`);
    if (page.readBigUInt64LE(504) !== Bun.hash.xxHash3(page.subarray(0, 504))) {
      throw new CartridgeDamaged(`${this.path}: the hash of the header page does not fit`);
    }
    const text = (at: number) => page.toString("utf8", at, at + 32).replace(/\0.*$/s, "");
    return {
      version,
      id: page.readBigUInt64LE(16),
      capacityBytes: Number(page.readBigUInt64LE(24)),
      earlyWarningBytes: Number(page.readBigUInt64LE(32)),
      createdMs: Number(page.readBigUInt64LE(40)),
      writeProtected: (page.readUInt32LE(48) & 1) === 1,
      density: page.readUInt8(52),
      mediumType: page.readUInt8(53),
      barcode: text(64),
      serial: text(96),
    };
  }

  /** The object whose record starts at `offset`, or null: no whole record is there. */
  #object(offset: number): CartridgeObject | null {
    const record = this.#read(offset, RECORD_HEADER);
    if (record.length < RECORD_HEADER || record.toString("latin1", 0, 4) !== "UTR1") return null;
    if (record.readBigUInt64LE(80) !== Bun.hash.xxHash3(record.subarray(0, 80))) return null;
    if (record.readBigUInt64LE(16) !== this.header.id) return null;
    if (Number(record.readBigUInt64LE(24)) !== offset) return null;
    const kind = record.readUInt32LE(4);
    const bytes = Number(record.readBigUInt64LE(8));
    if ((kind !== 1 && kind !== 2) || bytes > BLOCK_BYTES_MAX) return null;
    return {
      kind: kind === 1 ? "block" : "filemark",
      lba: Number(record.readBigUInt64LE(32)),
      fileNumber: Number(record.readBigUInt64LE(40)),
      bytes,
      dataOffset: offset + RECORD_HEADER,
      usedBefore: Number(record.readBigUInt64LE(64)),
      hash: record.readBigUInt64LE(72),
    };
  }

  /** Every object from the beginning to the end of data. Numbers that do not follow each other are damage. With
   *  `verify` the data's hashes are checked: a last record that does not fit is torn and no part of the tape, any other
   *  is damage. */
  *objects(verify = false): Generator<CartridgeObject> {
    let offset = HEADER_PAGE;
    let previous = 0;
    let lba = 0;
    let fileNumber = 0;
    let usedBytes = 0;
    for (;;) {
      const object = this.#object(offset);
      const end = object === null ? offset : object.dataOffset + Math.ceil(object.bytes / 512) * 512;
      if (object === null || end > this.#fileBytes) break;
      if (object.lba !== lba || object.fileNumber !== fileNumber || object.usedBefore !== usedBytes) {
        throw new CartridgeDamaged(
          `${this.path}: object ${lba} in file ${fileNumber} is numbered ${object.lba} in ${object.fileNumber}`,
        );
      }
      if (Number(this.#read(offset, RECORD_HEADER).readBigUInt64LE(48)) !== previous) {
        throw new CartridgeDamaged(`${this.path}: object ${lba} does not point to the one before it`);
      }
      if (verify && object.bytes > 0 && Bun.hash.xxHash3(this.data(object)) !== object.hash) {
        if (end === this.#fileBytes) break;
        throw new CartridgeDamaged(`${this.path}: the data of object ${lba} does not fit its hash`);
      }
      yield object;
      previous = offset;
      offset = end;
      lba++;
      if (object.kind === "filemark") fileNumber++;
      usedBytes += object.bytes;
    }
    this.tornBytes = this.#fileBytes - offset;
  }

  /** The data of one block. */
  data(object: CartridgeObject): Uint8Array {
    const data = this.#read(object.dataOffset, object.bytes);
    if (data.length < object.bytes)
      throw new CartridgeDamaged(`${this.path}: object ${object.lba} is cut short`);
    return data;
  }

  /** Blocks of one tape file (from 0), in order, each checked against its hash. */
  *file(fileNumber: number): Generator<Uint8Array> {
    for (const object of this.objects()) {
      if (object.fileNumber > fileNumber) return;
      if (object.fileNumber < fileNumber || object.kind === "filemark") continue;
      const data = this.data(object);
      if (Bun.hash.xxHash3(data) !== object.hash) {
        throw new CartridgeDamaged(`${this.path}: the data of object ${object.lba} does not fit its hash`);
      }
      yield data;
    }
  }

  summarize(verify = true): CartridgeSummary {
    let blocks = 0;
    let filemarks = 0;
    let dataBytes = 0;
    for (const object of this.objects(verify)) {
      if (object.kind === "block") blocks++;
      else filemarks++;
      dataBytes += object.bytes;
    }
    return { header: this.header, blocks, filemarks, dataBytes, tornBytes: this.tornBytes };
  }

  /** One line a tape file: its blocks, their sizes, its end. */
  listing(): string {
    const { header } = this;
    const lines = [
      `${header.barcode}  serial ${header.serial}  ${header.capacityBytes} bytes${header.writeProtected ? "  write-protected" : ""}`,
    ];
    let first = 0;
    let blocks = 0;
    let bytes = 0;
    let smallest = Number.POSITIVE_INFINITY;
    let largest = 0;
    const closeFile = (fileNumber: number, end: string) => {
      const sizes =
        blocks === 0 ? "" : smallest === largest ? ` of ${largest}` : ` of ${smallest} to ${largest}`;
      lines.push(`file ${fileNumber}  object ${first}  ${blocks} blocks${sizes}  ${bytes} bytes  ${end}`);
      blocks = bytes = largest = 0;
      smallest = Number.POSITIVE_INFINITY;
    };
    let fileNumber = 0;
    for (const object of this.objects(true)) {
      fileNumber = object.fileNumber;
      if (object.kind === "filemark") {
        closeFile(fileNumber, "filemark");
        first = object.lba + 1;
        fileNumber++;
        continue;
      }
      blocks++;
      bytes += object.bytes;
      smallest = Math.min(smallest, object.bytes);
      largest = Math.max(largest, object.bytes);
    }
    if (blocks > 0) closeFile(fileNumber, "end of data");
    if (this.tornBytes > 0) lines.push(`${this.tornBytes} bytes of a write that broke off`);
    return lines.join("\n");
  }

  close(): void {
    closeSync(this.#fd);
  }
}

if (import.meta.main) {
  const reader = new CartridgeReader(process.argv[2] ?? "");
  process.stdout.write(`${reader.listing()}\n`);
  reader.close();
}
