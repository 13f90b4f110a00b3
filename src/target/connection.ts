/** @module One TCP connection: receives PDUs without blocking and without a copy.
 *
 *      header (48) ──▶ [AHS] ──▶ begin: where does the data segment go? ──▶ data ──▶ finish ──▶ next header
 *
 *  (1) No length from the wire is used before it was checked; a length that cannot be right ends the connection.
 *  (2) A command's data goes straight to its place; the same recvmsg() takes padding and the next header along, into the
 *      other of two header buffers, so that the PDU's own header stays whole until it is dealt with.
 *  (3) Where data goes is asked anew for each recv(): a place may come, or the task may end, in the middle of a PDU.
 *  (4) Nothing is taken in while the output is congested. */
import { checked, EAGAIN, EINTR, libc } from "../base/ffi.ts";
import type { SharedMemory } from "../base/memory.ts";
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
} from "../iscsi/pdu.ts";
import { encodeReject } from "../iscsi/responses.ts";
import { TextCollector } from "../iscsi/text.ts";
import { beginCommand, beginDataOut, type Disposition, endData } from "./commands.ts";
import type { LoginExchange } from "./login.ts";
import { Output, type OutputSource } from "./output.ts";
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
import type { Session } from "./session.ts";
import type { TargetStats } from "./stats.ts";
import { type IscsiTask, SPILL_BYTES } from "./tasks.ts";

/** What a connection needs of its target. */
export interface ConnectionHost {
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
const SINK_CONTROL = 0;
const SINK_TASK = 1;
const SINK_DISCARD = 2;
const MSG_DONTWAIT = 0x40;
/** PDUs dealt with before other connections have their turn. */
const TURN_PDUS = 64;

export class Connection implements OutputSource {
  readonly fd: number;
  readonly from: string;
  readonly at: number;
  readonly output: Output;
  readonly openedMs: number;
  login: LoginExchange | null = null;
  session: Session | null = null;
  /** Connection id, as the initiator chose it. */
  cid = 0;
  /** Text request that goes on over several PDUs. */
  readonly text = new TextCollector();
  statSN = 0;
  /** During login; then the session's. */
  expCmdSN = 0;
  /** Set by beginCommand and beginDataOut. */
  sinkTask: IscsiTask | null = null;
  sinkFinal = true;
  /** Something is queued and not sent yet. */
  dirty = false;
  /** The socket takes nothing more for now. */
  blocked = false;
  /** Close when all is sent, or when that takes too long. */
  ending = false;
  endingSinceMs = 0;
  closed = false;
  cause = "";

  readonly #host: ConnectionHost;
  readonly #memory: SharedMemory;
  #header: number;
  #phase = PHASE_HEADER;
  /** Bytes of the header that came; negative: padding of the PDU before. */
  #got = 0;
  #ahsBytes = 0;
  #dataBytes = 0;
  #dataGot = 0;
  #sink = SINK_CONTROL;
  #sinkGeneration = 0;

  constructor(host: ConnectionHost, fd: number, from: string, at: number, nowMs: number) {
    this.#host = host;
    this.#memory = host.memory;
    this.fd = fd;
    this.from = from;
    this.at = at;
    this.openedMs = nowMs;
    this.#header = at + HEADER_A;
    this.output = new Output(fd, host.memory, at, this);
  }

  /** A whole header waits that no poll() will tell of. */
  get ready(): boolean {
    return this.#phase === PHASE_HEADER && this.#got === BHS_BYTES && !this.output.congested;
  }

  get reading(): boolean {
    return !this.ending && !this.output.congested;
  }

  markDirty(): void {
    this.dirty = true;
  }

  /** Queues a PDU of one header. */
  sendHeader(encode: (at: number) => void, advances: boolean): void {
    const to = this.output.control(BHS_BYTES);
    if (to < 0) {
      this.fail("too much waits to be sent");
      return;
    }
    encode(to);
    this.output.pushControl(to, BHS_BYTES, advances);
    this.dirty = true;
  }

  /** Queues a PDU with a data segment, padded; `encode` writes both. */
  sendWithData(encode: (at: number) => void, dataBytes: number, advances: boolean): void {
    const bytes = BHS_BYTES + dataBytes + padBytes(dataBytes);
    const to = this.output.control(bytes);
    if (to < 0) {
      this.fail("too much waits to be sent");
      return;
    }
    encode(to);
    this.#memory.bytes.fill(0, to + BHS_BYTES + dataBytes, to + bytes);
    this.output.pushControl(to, bytes, advances);
    this.dirty = true;
  }

  /** Rejects the PDU in hand (RFC 7143 §11.17): its header goes back; its data segment is dropped. */
  reject(reason: number): Disposition {
    const { bytes, view } = this.#memory;
    const header = this.#header;
    this.#host.stats.protocolErrors++;
    this.sendWithData(
      (to) => {
        encodeReject(view, to, reason);
        bytes.copyWithin(to + BHS_BYTES, header, header + BHS_BYTES);
      },
      BHS_BYTES,
      true,
    );
    return "discard";
  }

  /** The connection ends as soon as its target looks at it. */
  fail(cause: string): void {
    if (this.cause === "") this.cause = cause;
    this.closed = true;
  }

  stageTask(output: Output, kind: number, index: number, generation: number, at: number): number {
    return this.session?.stageTask(output, kind, index, generation, at) ?? 0;
  }

  stamp(at: number, advances: boolean): void {
    if (this.session !== null) {
      this.session.stamp(at, advances);
      return;
    }
    this.#memory.view.setUint32(at + 24, this.statSN);
    this.#memory.view.setUint32(at + 28, this.expCmdSN);
    this.#memory.view.setUint32(at + 32, this.expCmdSN);
    if (advances) this.statSN = (this.statSN + 1) >>> 0;
  }

  sent(task: IscsiTask): void {
    task.session?.sent(task);
  }

  flush(): void {
    const outcome = this.output.flush();
    this.blocked = outcome === "blocked";
    this.dirty = false;
    if (outcome === "broken") this.fail("connection lost");
    else if (outcome === "idle" && this.ending) this.fail("");
  }

  /** Receives until the socket is empty, or this connection's turn is over. */
  pump(): void {
    for (let turn = 0; turn < TURN_PDUS && !this.closed && !this.ending; turn++) {
      if (this.#phase === PHASE_HEADER) {
        if (this.output.congested) return;
        if (this.#got < BHS_BYTES && !this.#receiveHeader()) return;
        if (!this.#beginPdu()) continue;
      }
      if (this.#phase === PHASE_AHS && !this.#receiveAhs()) return;
      if (this.#phase === PHASE_DATA && !this.#receiveData()) return;
    }
  }

  #received(result: number): boolean {
    if (result > 0) return true;
    if (result === 0) this.fail("the initiator closed the connection");
    else if (result !== -EAGAIN && result !== -EINTR) this.fail("connection lost");
    return false;
  }

  #receive(address: number, bytes: number): number {
    return checked(libc.recv(this.fd, address, bytes, MSG_DONTWAIT));
  }

  #receiveHeader(): boolean {
    const got = this.#receive(this.#memory.base + this.#header + this.#got, BHS_BYTES - this.#got);
    if (!this.#received(got)) return false;
    this.#got += got;
    return this.#got === BHS_BYTES;
  }

  #receiveAhs(): boolean {
    const got = this.#receive(
      this.#memory.base + this.at + AHS + this.#dataGot,
      this.#ahsBytes - this.#dataGot,
    );
    if (!this.#received(got)) return false;
    this.#dataGot += got;
    if (this.#dataGot < this.#ahsBytes) return false;
    this.#route();
    return !this.closed;
  }

  /** The header is whole. */
  #beginPdu(): boolean {
    const { view } = this.#memory;
    this.#ahsBytes = ahsBytesOf(view, this.#header);
    this.#dataBytes = dataBytesOf(view, this.#header);
    this.#dataGot = 0;
    const limit = this.session?.parameters.ownSegmentBytes ?? DATA_SEGMENT_BYTES_DEFAULT;
    const opcode = opcodeOf(view, this.#header);
    if (this.session === null && opcode !== OP_LOGIN) this.#protocolError("not a login");
    else if (this.#dataBytes > limit) this.#protocolError("a data segment longer than declared");
    if (this.closed) return false;
    if (this.#ahsBytes > 0) this.#phase = PHASE_AHS;
    else this.#route();
    return !this.closed;
  }

  #protocolError(cause: string): void {
    this.#host.stats.protocolErrors++;
    this.fail(cause);
  }

  /** Header and AHS are in: decides where the data segment goes. */
  #route(): void {
    const { session } = this;
    const opcode = opcodeOf(this.#memory.view, this.#header);
    this.#dataGot = 0;
    this.#sink = SINK_CONTROL;
    let disposition: Disposition | null = null;
    if (session !== null && opcode === OP_SCSI_COMMAND) {
      const admitted = this.admit();
      if (admitted === null) {
        disposition = beginCommand(session, this.#header, this.at + AHS, this.#ahsBytes, this.#dataBytes);
      } else disposition = admitted;
    } else if (session !== null && opcode === OP_DATA_OUT) {
      disposition = beginDataOut(session, this.#header, this.#dataBytes);
    }
    if (disposition === "drop") {
      this.#protocolError(opcode === OP_DATA_OUT ? "data that nobody asked for" : "a command is missing");
      return;
    }
    if (disposition === "discard") this.#sink = SINK_DISCARD;
    if (disposition === "task") {
      this.#sink = SINK_TASK;
      this.#sinkGeneration = this.sinkTask?.generation ?? 0;
    }
    this.#phase = PHASE_DATA;
    if (this.#dataBytes === 0) this.#finish(0);
  }

  /** CmdSN of the request in hand; null: to be carried out. */
  admit(): Disposition | null {
    const { view } = this.#memory;
    if (this.session === null || (view.getUint8(this.#header) & 0x40) !== 0) return null;
    const verdict = this.session.acceptCmdSN(view.getUint32(this.#header + 24));
    return verdict === "take" ? null : verdict === "ignore" ? "discard" : "drop";
  }

  #receiveData(): boolean {
    const rest = this.#dataBytes - this.#dataGot;
    if (rest === 0) return true;
    const { base, view } = this.#memory;
    const host = this.#host;
    let address = host.discardAddress;
    let bytes = Math.min(rest, host.discardBytes);
    let task = this.#sink === SINK_TASK ? this.sinkTask : null;
    if (task !== null && (task.generation !== this.#sinkGeneration || task.forgotten)) {
      this.#sink = SINK_DISCARD;
      task = null;
    }
    if (task === null) {
      if (this.#sink === SINK_CONTROL && this.#dataGot < CONTROL_BYTES) {
        address = base + this.at + CONTROL_IN + this.#dataGot;
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
    const pad = padBytes(this.#dataBytes);
    let got: number;
    if (bytes === rest) {
      // The last of this segment: padding and the next header may come along.
      const next = this.#otherHeader();
      const iovecs = this.at + IN_IOVECS;
      setNative(view, iovecs, address);
      setNative(view, iovecs + 8, bytes);
      setNative(view, iovecs + IOVEC_BYTES, base + next - pad);
      setNative(view, iovecs + IOVEC_BYTES + 8, pad + BHS_BYTES);
      setMessage(view, this.at + IN_MESSAGE, base + iovecs, 2);
      got = checked(libc.recvmsg(this.fd, base + this.at + IN_MESSAGE, MSG_DONTWAIT));
    } else {
      got = this.#receive(address, bytes);
    }
    if (!this.#received(got)) return false;
    const data = Math.min(got, bytes);
    this.#dataGot += data;
    if (task !== null) {
      task.receivedBytes += data;
      host.stats.bytesOut += data;
    }
    if (this.#dataGot < this.#dataBytes) return got === bytes;
    this.#finish(got - data - pad);
    return true;
  }

  #otherHeader(): number {
    return this.#header === this.at + HEADER_A ? this.at + HEADER_B : this.at + HEADER_A;
  }

  /** The PDU is whole; `ahead`: how far the next header has come already. */
  #finish(ahead: number): void {
    const header = this.#header;
    const task = this.sinkTask;
    this.sinkTask = null;
    this.#phase = PHASE_HEADER;
    this.#got = this.#dataBytes === 0 ? 0 : ahead;
    if (this.#sink === SINK_TASK && task !== null) {
      if (task.generation === this.#sinkGeneration && !task.forgotten) endData(task, this.sinkFinal);
      this.#host.drainPlaced();
    } else if (this.#sink === SINK_CONTROL) {
      const kept = Math.min(this.#dataBytes, CONTROL_BYTES);
      const disposition = this.#host.control(this, header, this.#ahsBytes, this.#dataBytes, kept);
      if (disposition === "drop") this.#protocolError(this.cause === "" ? "a protocol error" : this.cause);
    }
    if (this.#dataBytes > 0) this.#header = this.#otherHeader();
  }
}
