/** @module The receiving half of a connection: PDUs without blocking and without a copy.
 *
 *      header (48) ──▶ [AHS] ──▶ route: where does the data segment go? ──▶ data ──▶ [tail] ──▶ finish ──▶ next header
 *
 *  With a header digest four bytes more are taken with the header: the digest, or the beginning of the AHS before it.
 *  The tail is padding and data digest; without a digest, padding is left to come with the next header.
 *
 *  (1) No length from the wire is used before it was checked; a length that cannot be right ends the connection.
 *  (2) A command's data goes straight to its place; the same recvmsg() takes padding and the next header along, into the
 *      other of two header buffers, so that the PDU's own header stays whole until it is dealt with.
 *  (3) Where data goes is asked anew for each recv(): a place may come, or the task may end, in the middle of a PDU.
 *  (4) A header whose digest is wrong ends the connection: where the next one begins is not known (RFC 7143 §7.8). Data
 *      whose digest is wrong is rejected, and its command fails.
 *  (5) Nothing is taken in while the output is congested. */

import { checked, EAGAIN, EINTR, libc } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
import { MSG_DONTWAIT } from "../base/socket.ts";
import { type Digests, NO_DIGESTS } from "../iscsi/digest.ts";
import {
  ahsBytesOf,
  BHS_BYTES,
  DATA_SEGMENT_BYTES_DEFAULT,
  dataBytesOf,
  OP_DATA_OUT,
  OP_LOGIN,
  OP_SCSI_COMMAND,
  opcodeOf,
  padBytes,
  REJECT_DATA_DIGEST,
} from "../iscsi/pdu.ts";
import { beginCommand, beginDataOut, type Disposition, endData, spoilByDigest } from "./commands.ts";
import type { Connection } from "./connection.ts";
import {
  AHS,
  CONTROL_BYTES,
  CONTROL_IN,
  HEADER_A,
  HEADER_B,
  IN_IOVECS,
  IN_MESSAGE,
  IOVEC_BYTES,
  setMessage,
  setNative,
} from "./region.ts";
import type { TargetStats } from "./stats.ts";
import { type IscsiTask, SPILL_BYTES } from "./tasks.ts";

/** What the receiving half needs of its target. */
export interface ReceiverHost {
  readonly memory: SharedMemory;
  readonly stats: TargetStats;
  /** Where data goes that nobody wants. */
  readonly discardAddress: number;
  readonly discardBytes: number;
  /** Deals with a PDU that is neither SCSI Command nor Data-Out; its data segment is in the control buffer. */
  control(
    connection: Connection,
    at: number,
    ahsBytes: number,
    dataBytes: number,
    keptBytes: number,
  ): Disposition;
  drainPlaced(): void;
}

const PHASE_HEADER = 0;
const PHASE_AHS = 1;
const PHASE_DATA = 2;
const PHASE_TAIL = 3;
const SINK_CONTROL = 0;
const SINK_TASK = 1;
const SINK_DISCARD = 2;
/** PDUs dealt with before other connections have their turn. */
const TURN_PDUS = 64;

export class Receiver {
  /** Offset of the header of the PDU in hand. */
  header: number;
  readonly #host: ReceiverHost;
  readonly #connection: Connection;
  readonly #memory: SharedMemory;
  readonly #at: number;
  #phase = PHASE_HEADER;
  /** Bytes of the header that came; negative: padding of the PDU before. */
  #got = 0;
  #ahsBytes = 0;
  #dataBytes = 0;
  #dataGot = 0;
  #sink = SINK_CONTROL;
  #task: IscsiTask | null = null;
  #final = true;
  #sinkGeneration = 0;
  #digests = NO_DIGESTS;
  /** Bytes taken as the header, bytes after the data segment. */
  #headBytes = BHS_BYTES;
  #tailBytes = 0;
  /** Digest of the data so far. */
  #sum = 0;

  constructor(host: ReceiverHost, connection: Connection) {
    this.#host = host;
    this.#connection = connection;
    this.#memory = host.memory;
    this.#at = connection.at;
    this.header = connection.at + HEADER_A;
  }

  /** A whole header waits that no poll() will tell of. */
  get ready(): boolean {
    return this.#phase === PHASE_HEADER && this.#got === this.#headBytes;
  }

  /** From the next PDU on. */
  useDigests(digests: Digests): void {
    this.#digests = digests;
    this.#headBytes = BHS_BYTES + digests.headerBytes;
  }

  /** The data segment of the PDU in hand is for this task. */
  expect(task: IscsiTask, final: boolean): void {
    this.#task = task;
    this.#final = final;
  }

  /** Receives until the socket is empty, or this connection's turn is over. */
  pump(): void {
    for (let turn = 0; turn < TURN_PDUS && !this.#connection.closed && !this.#connection.ending; turn++) {
      if (this.#phase === PHASE_HEADER) {
        if (this.#connection.output.congested) return;
        if (this.#got < this.#headBytes && !this.#receiveHeader()) return;
        if (!this.#beginPdu()) continue;
      }
      if (this.#phase === PHASE_AHS && !this.#receiveAhs()) return;
      if (this.#phase === PHASE_DATA && !this.#receiveData()) return;
      if (this.#phase === PHASE_TAIL && !this.#receiveTail()) return;
    }
  }

  #received(result: number): boolean {
    if (result > 0) return true;
    if (result === 0) this.#connection.fail("the initiator closed the connection");
    else if (result !== -EAGAIN && result !== -EINTR) this.#connection.fail("connection lost");
    return false;
  }

  #receive(address: number, bytes: number): number {
    return checked(libc.recv(this.#connection.fd, address, bytes, MSG_DONTWAIT));
  }

  #receiveHeader(): boolean {
    const got = this.#receive(this.#memory.base + this.header + this.#got, this.#headBytes - this.#got);
    if (!this.#received(got)) return false;
    this.#got += got;
    return this.#got === this.#headBytes;
  }

  #receiveAhs(): boolean {
    const bytes = this.#ahsBytes + this.#headBytes - BHS_BYTES;
    const got = this.#receive(this.#memory.base + this.#at + AHS + this.#dataGot, bytes - this.#dataGot);
    if (!this.#received(got)) return false;
    this.#dataGot += got;
    if (this.#dataGot < bytes) return false;
    if (this.#headerSound(this.#at + AHS + this.#ahsBytes)) this.#route();
    return !this.#connection.closed;
  }

  /** The header is whole. */
  #beginPdu(): boolean {
    const { view } = this.#memory;
    this.#ahsBytes = ahsBytesOf(view, this.header);
    this.#dataBytes = dataBytesOf(view, this.header);
    this.#dataGot = 0;
    const limit = this.#connection.session?.parameters.ownSegmentBytes ?? DATA_SEGMENT_BYTES_DEFAULT;
    const opcode = opcodeOf(view, this.header);
    if (this.#connection.session === null && opcode !== OP_LOGIN) this.#protocolError("not a login");
    else if (this.#dataBytes > limit) this.#protocolError("a data segment longer than declared");
    if (this.#connection.closed) return false;
    if (this.#ahsBytes > 0) {
      this.#phase = PHASE_AHS;
      this.#dataGot = this.#headBytes - BHS_BYTES;
      const ahead = this.header + BHS_BYTES;
      this.#memory.bytes.copyWithin(this.#at + AHS, ahead, ahead + this.#dataGot);
    } else if (this.#headerSound(this.header + BHS_BYTES)) this.#route();
    return !this.#connection.closed;
  }

  /** Is the header digest at `digestAt` right? If not, the connection ends. */
  #headerSound(digestAt: number): boolean {
    const { crc, headerBytes } = this.#digests;
    if (crc === null || headerBytes === 0) return true;
    const { base, view } = this.#memory;
    let sum = crc.update(0, base + this.header, BHS_BYTES);
    sum = crc.update(sum, base + this.#at + AHS, this.#ahsBytes);
    if (sum === view.getUint32(digestAt, true)) return true;
    this.#host.stats.digestErrors++;
    this.#protocolError("a header digest is wrong");
    return false;
  }

  #protocolError(cause: string): void {
    this.#host.stats.protocolErrors++;
    this.#connection.fail(cause);
  }

  /** Header and AHS are in: decides where the data segment goes. */
  #route(): void {
    const { session } = this.#connection;
    const opcode = opcodeOf(this.#memory.view, this.header);
    this.#dataGot = 0;
    this.#sink = SINK_CONTROL;
    let disposition: Disposition | null = null;
    if (session !== null && opcode === OP_SCSI_COMMAND) {
      const admitted = this.#connection.admit();
      if (admitted === null) {
        disposition = beginCommand(session, this.header, this.#at + AHS, this.#ahsBytes, this.#dataBytes);
      } else disposition = admitted;
    } else if (session !== null && opcode === OP_DATA_OUT) {
      disposition = beginDataOut(session, this.header, this.#dataBytes);
    }
    if (disposition === "drop") {
      this.#protocolError(opcode === OP_DATA_OUT ? "data that nobody asked for" : "a command is missing");
      return;
    }
    if (disposition === "discard") this.#sink = SINK_DISCARD;
    if (disposition === "task") {
      this.#sink = SINK_TASK;
      this.#sinkGeneration = this.#task?.generation ?? 0;
    }
    this.#phase = PHASE_DATA;
    this.#sum = 0;
    this.#tailBytes = padBytes(this.#dataBytes) + this.#digests.dataBytes;
    if (this.#dataBytes === 0) this.#finish(0);
  }

  #receiveData(): boolean {
    const rest = this.#dataBytes - this.#dataGot;
    if (rest === 0) return true;
    const { base, view } = this.#memory;
    const host = this.#host;
    let address = host.discardAddress;
    let bytes = Math.min(rest, host.discardBytes);
    let task = this.#sink === SINK_TASK ? this.#task : null;
    if (task !== null && (task.generation !== this.#sinkGeneration || task.forgotten)) {
      this.#sink = SINK_DISCARD;
      task = null;
    }
    if (task === null) {
      if (this.#sink === SINK_CONTROL && this.#dataGot < CONTROL_BYTES) {
        address = base + this.#at + CONTROL_IN + this.#dataGot;
        bytes = Math.min(rest, CONTROL_BYTES - this.#dataGot);
      }
    } else if (task.completed || task.spoilt) {
      // It failed before its data was in: the rest comes all the same.
    } else if (task.placed) {
      const taken = task.takenBytes;
      if (task.receivedBytes < taken) {
        address = task.outAddress + task.receivedBytes;
        bytes = Math.min(rest, taken - task.receivedBytes);
      }
    } else if (task.receivedBytes < SPILL_BYTES) {
      address = task.spillAddress + task.receivedBytes;
      bytes = Math.min(rest, SPILL_BYTES - task.receivedBytes);
    }
    const tail = this.#tailBytes;
    let got: number;
    if (bytes === rest) {
      // The last of this segment: its tail and the next header may come along.
      const next = this.#otherHeader();
      const iovecs = this.#at + IN_IOVECS;
      setNative(view, iovecs, address);
      setNative(view, iovecs + 8, bytes);
      setNative(view, iovecs + IOVEC_BYTES, base + next - tail);
      setNative(view, iovecs + IOVEC_BYTES + 8, tail + this.#headBytes);
      setMessage(view, this.#at + IN_MESSAGE, base + iovecs, 2);
      got = checked(libc.recvmsg(this.#connection.fd, base + this.#at + IN_MESSAGE, MSG_DONTWAIT));
    } else {
      got = this.#receive(address, bytes);
    }
    if (!this.#received(got)) return false;
    const data = Math.min(got, bytes);
    const { crc, dataBytes } = this.#digests;
    if (crc !== null && dataBytes > 0) this.#sum = crc.update(this.#sum, address, data);
    this.#dataGot += data;
    if (task !== null) {
      task.receivedBytes += data;
      host.stats.bytesOut += data;
    }
    if (this.#dataGot < this.#dataBytes) return got === bytes;
    this.#got = got - data - tail;
    if (dataBytes === 0) this.#finish(this.#got);
    else this.#phase = PHASE_TAIL;
    return true;
  }

  /** What is missing of padding and data digest, and of the next header; the digest is compared. */
  #receiveTail(): boolean {
    const { base, view } = this.#memory;
    const next = this.#otherHeader();
    if (this.#got < 0) {
      const got = this.#receive(base + next + this.#got, this.#headBytes - this.#got);
      if (!this.#received(got)) return false;
      this.#got += got;
      if (this.#got < 0) return false;
    }
    const { crc, dataBytes } = this.#digests;
    const pad = this.#tailBytes - dataBytes;
    const sum = crc?.update(this.#sum, base + next - this.#tailBytes, pad) ?? 0;
    if (sum !== view.getUint32(next - dataBytes, true)) this.#rejectData();
    this.#finish(this.#got);
    return true;
  }

  /** RFC 7143 §7.8: the PDU is rejected; a command whose data it was fails. */
  #rejectData(): void {
    this.#host.stats.digestErrors++;
    this.#connection.reject(REJECT_DATA_DIGEST);
    const task = this.#sink === SINK_TASK ? this.#task : null;
    if (task === null) this.#sink = SINK_DISCARD;
    else if (task.generation === this.#sinkGeneration && !task.forgotten) spoilByDigest(task);
  }

  #otherHeader(): number {
    return this.header === this.#at + HEADER_A ? this.#at + HEADER_B : this.#at + HEADER_A;
  }

  /** The PDU is whole; `ahead`: how far the next header has come already. */
  #finish(ahead: number): void {
    const header = this.header;
    const task = this.#task;
    this.#task = null;
    this.#phase = PHASE_HEADER;
    this.#got = this.#dataBytes === 0 ? 0 : ahead;
    if (this.#sink === SINK_TASK && task !== null) {
      if (task.generation === this.#sinkGeneration && !task.forgotten) endData(task, this.#final);
      this.#host.drainPlaced();
    } else if (this.#sink === SINK_CONTROL) {
      const kept = Math.min(this.#dataBytes, CONTROL_BYTES);
      const disposition = this.#host.control(this.#connection, header, this.#ahsBytes, this.#dataBytes, kept);
      if (disposition === "drop")
        this.#protocolError(this.#connection.cause === "" ? "a protocol error" : this.#connection.cause);
    }
    if (this.#dataBytes > 0) this.header = this.#otherHeader();
  }
}
