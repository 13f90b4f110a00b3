/** @module Takes PDUs out of a connection: header first, then the data segment straight to the place that the sink
 *  names. Bounded in everything: lengths that do not fit end the connection, whatever the peer sends. */
import { ptr } from "bun:ffi";
import { EAGAIN, errorText } from "../base/ffi.ts";
import { DIGEST_BYTES, NO_DIGESTS } from "./digest.ts";
import type { Wire } from "./initiator-wire.ts";
import { AHS_BYTES_MAX, ahsBytesOf, BHS_BYTES, dataBytesOf, padBytes } from "./pdu.ts";

/** Data segments that nobody named a place for land here: sense, text, rejected headers. */
export const SCRATCH_BYTES = 65536;
/** After so many PDUs in a row the caller looks at its own work again. */
export const PDUS_A_TURN = 64;

export interface PduSink {
  /** Largest data segment that we declared. */
  readonly segmentBytesMax: number;
  /** Native address for the data segment of the PDU whose header has come; 0: the scratch buffer; -1: `fail` was called. */
  placeData(header: DataView, dataBytes: number): number;
  /** The whole PDU is here. */
  onPdu(header: DataView, dataBytes: number): void;
  /** The connection is beyond use. */
  fail(cause: string): void;
  readonly failed: boolean;
}

const STAGE_HEADER = 0;
const STAGE_AHS = 1;
const STAGE_DATA = 2;
const STAGE_PAD = 3;

export class PduReader {
  readonly header: DataView;
  readonly scratch = new Uint8Array(SCRATCH_BYTES);
  readonly #whole: DataView;
  readonly #headerAddress: number;
  readonly #asideAddress: number;
  readonly #scratchAddress: number;
  #stage = STAGE_HEADER;
  #address: number;
  #wanted = BHS_BYTES;
  #dataBytes = 0;
  #digests = NO_DIGESTS;
  #sum = 0;

  constructor() {
    const buffer = new Uint8Array(BHS_BYTES + AHS_BYTES_MAX + DIGEST_BYTES);
    this.#whole = new DataView(buffer.buffer);
    this.header = new DataView(buffer.buffer, 0, BHS_BYTES);
    this.#headerAddress = ptr(buffer);
    this.#asideAddress = this.#headerAddress + BHS_BYTES;
    this.#scratchAddress = ptr(this.scratch);
    this.#address = this.#headerAddress;
  }

  /** Reads what is there, at most so many PDUs. false: nothing more for now, or the sink has failed. */
  read(wire: Wire, sink: PduSink, pdusMax = PDUS_A_TURN): boolean {
    this.#digests = wire.digests;
    for (let pdus = 0; pdus < pdusMax; ) {
      const got = wire.receive(this.#address, this.#wanted);
      if (got === -EAGAIN) return false;
      if (got <= 0) {
        sink.fail(got === 0 ? "the target closed the connection" : errorText(got));
        return false;
      }
      this.#address += got;
      this.#wanted -= got;
      if (this.#wanted > 0) continue;
      if (this.#advance(sink)) pdus++;
      if (sink.failed) return false;
    }
    return true;
  }

  /** A part is complete: on to the next that is not empty. true: a PDU was handed over. */
  #advance(sink: PduSink): boolean {
    const { header } = this;
    if (this.#stage === STAGE_HEADER) {
      this.#dataBytes = dataBytesOf(header, 0);
      if (this.#dataBytes > sink.segmentBytesMax) {
        sink.fail(`data segment of ${this.#dataBytes} bytes, ${sink.segmentBytesMax} are the most`);
        return false;
      }
      const bytes = ahsBytesOf(header, 0) + this.#digests.headerBytes;
      if (this.#go(STAGE_AHS, this.#asideAddress, bytes)) return false;
    }
    if (this.#stage === STAGE_AHS && !this.#headerSound(sink)) return false;
    if (this.#stage <= STAGE_AHS && this.#dataBytes > 0) {
      const place = sink.placeData(header, this.#dataBytes);
      if (place < 0) return false;
      if (place === 0 && this.#dataBytes > SCRATCH_BYTES) {
        sink.fail(`data segment of ${this.#dataBytes} bytes where only a small one makes sense`);
        return false;
      }
      this.#go(STAGE_DATA, place === 0 ? this.#scratchAddress : place, this.#dataBytes);
      return false;
    }
    if (this.#stage === STAGE_DATA) {
      const { crc, dataBytes } = this.#digests;
      if (crc !== null && dataBytes > 0)
        this.#sum = crc.update(0, this.#address - this.#dataBytes, this.#dataBytes);
      if (this.#go(STAGE_PAD, this.#asideAddress, padBytes(this.#dataBytes) + dataBytes)) return false;
    }
    if (this.#stage === STAGE_PAD && !this.#dataSound(sink)) return false;
    this.#go(STAGE_HEADER, this.#headerAddress, BHS_BYTES);
    sink.onPdu(header, this.#dataBytes);
    return true;
  }

  #headerSound(sink: PduSink): boolean {
    const { crc, headerBytes } = this.#digests;
    if (crc === null || headerBytes === 0) return true;
    const bytes = BHS_BYTES + ahsBytesOf(this.header, 0);
    if (crc.update(0, this.#headerAddress, bytes) === this.#whole.getUint32(bytes, true)) return true;
    sink.fail("a header digest of the target is wrong");
    return false;
  }

  #dataSound(sink: PduSink): boolean {
    const { crc, dataBytes } = this.#digests;
    if (crc === null || dataBytes === 0) return true;
    const pad = padBytes(this.#dataBytes);
    if (crc.update(this.#sum, this.#asideAddress, pad) === this.#whole.getUint32(BHS_BYTES + pad, true))
      return true;
    sink.fail("a data digest of the target is wrong");
    return false;
  }

  #go(stage: number, address: number, bytes: number): boolean {
    if (bytes === 0) return false;
    this.#stage = stage;
    this.#address = address;
    this.#wanted = bytes;
    return true;
  }
}
