/** @module A raw initiator for tests: it sends exactly the PDUs that it is told to, right or wrong, and drives the target
 *  itself (`pollOnce`) while it waits for an answer. Everything happens on one thread. */
import { ptr } from "bun:ffi";
import { checked, EAGAIN, libc } from "../../base/ffi.ts";
import {
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_RCVBUF,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../base/socket.ts";
import { NO_DIGESTS } from "../../iscsi/digest.ts";
import * as pdu from "../../iscsi/pdu.ts";
import * as requests from "../../iscsi/requests.ts";
import { formatText, parseText, type TextPair } from "../../iscsi/text.ts";
import type { Target } from "../front-loop.ts";
import { socketAddress } from "../portal.ts";

/** One PDU as it came. */
export class Received {
  readonly header: Uint8Array;
  readonly view: DataView;
  readonly data: Uint8Array;

  constructor(header: Uint8Array, data: Uint8Array) {
    this.header = header;
    this.view = new DataView(header.buffer, header.byteOffset, header.byteLength);
    this.data = data;
  }

  get opcode(): number {
    return pdu.opcodeOf(this.view, 0);
  }

  get name(): string {
    return pdu.OPCODE_NAMES[this.opcode] ?? "?";
  }

  get flags(): number {
    return pdu.flagsOf(this.view, 0);
  }

  get status(): number {
    return this.view.getUint8(pdu.AT_STATUS);
  }

  get response(): number {
    return this.view.getUint8(pdu.AT_RESPONSE);
  }

  field(offset: number): number {
    return pdu.field(this.view, 0, offset);
  }

  get text(): Record<string, string> {
    const parsed = parseText(this.data);
    if (parsed.kind === "malformed") throw new Error(parsed.cause);
    return Object.fromEntries(parsed.pairs);
  }

  /** Residual as words: "overflow 5", "underflow 3", "". */
  get residual(): string {
    const count = this.field(pdu.AT_RESIDUAL);
    if ((this.flags & pdu.FLAG_OVERFLOW) !== 0) return `overflow ${count}`;
    if ((this.flags & pdu.FLAG_UNDERFLOW) !== 0) return `underflow ${count}`;
    return count === 0 ? "" : `no flag, yet ${count}`;
  }
}

export interface LoginWish {
  readonly name?: string;
  readonly targetName?: string;
  readonly isid?: number;
  readonly tsih?: number;
  readonly cid?: number;
  readonly discovery?: boolean;
  readonly keys?: readonly TextPair[];
  readonly receiveBufferBytes?: number;
}

export const INITIATOR = "iqn.2026-01.example:host";
export const TARGET = "iqn.2026-01.example.understudy:library";

export class TestClient {
  readonly fd: number;
  cmdSN = 100;
  expStatSN = 1;
  maxCmdSN = 0;
  targetExpCmdSN = 0;
  itt = 1;
  closed = false;
  /** What was agreed on, from the login's end on. */
  digests = NO_DIGESTS;
  /** Breaks a digest of the next PDU sent. */
  breaks: "header" | "data" | null = null;
  readonly #target: Target;
  #in = Buffer.alloc(0);
  readonly #chunk = new Uint8Array(1 << 20);
  readonly #chunkAddress = Number(ptr(this.#chunk));

  constructor(target: Target, receiveBufferBytes = 0) {
    this.#target = target;
    this.fd = checked(libc.socket(2, 1, 0));
    // Nothing waits for an acknowledgement: tests count in microseconds.
    libc.setsockopt(this.fd, IPPROTO_TCP, TCP_NODELAY, Int32Array.of(1), 4);
    if (receiveBufferBytes > 0)
      libc.setsockopt(this.fd, SOL_SOCKET, SO_RCVBUF, Int32Array.of(receiveBufferBytes), 4);
    const address = socketAddress("127.0.0.1", target.port);
    if (address === null || checked(libc.connect(this.fd, address, address.length)) < 0)
      throw new Error("connect");
    target.pollOnce(0);
  }

  close(): void {
    if (!this.closed) libc.close(this.fd);
    this.closed = true;
  }

  /** Sends bytes as they are; drives the target where the socket is full. */
  sendBytes(bytes: Uint8Array): boolean {
    let at = 0;
    const address = Number(ptr(bytes));
    for (let tries = 0; at < bytes.length; tries++) {
      const put = checked(libc.send(this.fd, address + at, bytes.length - at, MSG_DONTWAIT | MSG_NOSIGNAL));
      if (put > 0) at += put;
      else if (put !== -EAGAIN || tries > 10000) return false;
      else this.#target.pollOnce(1);
    }
    return true;
  }

  /** Sends a PDU: `encode` writes the header. */
  send(
    encode: (view: DataView) => void,
    data: Uint8Array = new Uint8Array(0),
    ahs: Uint8Array = new Uint8Array(0),
  ): void {
    const { crc, headerBytes, dataBytes } = this.digests;
    const padded = data.length + pdu.padBytes(data.length);
    const head = 48 + ahs.length;
    const at = head + headerBytes;
    const bytes = new Uint8Array(new ArrayBuffer(at + padded + (padded > 0 ? dataBytes : 0)));
    const view = new DataView(bytes.buffer);
    encode(view);
    bytes[4] = ahs.length / 4;
    bytes.set(ahs, 48);
    bytes.set(data, at);
    const address = Number(ptr(bytes));
    const { breaks } = this;
    this.breaks = null;
    const sum = (from: number, count: number, what: string) =>
      ((crc?.update(0, address + from, count) ?? 0) ^ (breaks === what ? 0x100 : 0)) >>> 0;
    if (headerBytes > 0) view.setUint32(head, sum(0, head, "header"), true);
    if (dataBytes > 0 && padded > 0) view.setUint32(at + padded, sum(at, padded, "data"), true);
    this.sendBytes(bytes);
  }

  /** The next PDU, or null when the target closed the connection; undefined when nothing came in `waitMs`. */
  poll(waitMs = 0): Received | null | undefined {
    const until = performance.now() + waitMs;
    for (;;) {
      this.#target.pollOnce(0);
      const whole = this.#takePdu();
      if (whole !== null) return whole;
      const got = checked(libc.recv(this.fd, this.#chunkAddress, this.#chunk.length, MSG_DONTWAIT));
      if (got > 0) {
        this.#in = Buffer.concat([this.#in, this.#chunk.subarray(0, got)]);
        const next = this.#takePdu();
        if (next !== null) return next;
        continue;
      }
      if (got !== -EAGAIN) return null;
      if (performance.now() >= until) return undefined;
    }
  }

  #takePdu(): Received | null {
    if (this.#in.length < 48) return null;
    const data = this.#in.readUIntBE(5, 3);
    const { headerBytes, dataBytes } = this.digests;
    const at = 48 + headerBytes;
    const padded = data + pdu.padBytes(data);
    const whole = at + padded + (data > 0 ? dataBytes : 0);
    if (this.#in.length < whole) return null;
    if (headerBytes > 0) this.#check(0, 48, 48);
    if (dataBytes > 0 && data > 0) this.#check(at, padded, at + padded);
    const received = new Received(
      Uint8Array.from(this.#in.subarray(0, 48)),
      Uint8Array.from(this.#in.subarray(at, at + data)),
    );
    this.#in = this.#in.subarray(whole);
    this.targetExpCmdSN = received.field(pdu.AT_EXP_CMD_SN);
    const max = received.field(pdu.AT_MAX_CMD_SN);
    if (pdu.serialDifference(max, this.maxCmdSN) > 0) this.maxCmdSN = max;
    const statSN = received.field(pdu.AT_STAT_SN);
    const counts =
      received.opcode !== pdu.OP_R2T &&
      (received.opcode !== pdu.OP_DATA_IN || (received.flags & pdu.FLAG_STATUS) !== 0);
    if (counts) {
      if (received.opcode !== pdu.OP_LOGIN_RESPONSE && statSN !== this.expStatSN) {
        throw new Error(`StatSN ${statSN}, expected ${this.expStatSN}, in ${received.name}`);
      }
      this.expStatSN = pdu.nextSerial(statSN);
    }
    return received;
  }

  #check(from: number, count: number, digestAt: number): void {
    const part = new Uint8Array(new ArrayBuffer(count));
    part.set(this.#in.subarray(from, from + count));
    const sum = this.digests.crc?.update(0, Number(ptr(part)), count);
    if (sum !== this.#in.readUInt32LE(digestAt)) throw new Error("a digest of the target is wrong");
  }

  next(waitMs = 2000): Received {
    const received = this.poll(waitMs);
    if (received === null) throw new Error("the target closed the connection");
    if (received === undefined) throw new Error("no answer");
    return received;
  }

  expectClosed(waitMs = 2000): void {
    const until = performance.now() + waitMs;
    for (;;) {
      const received = this.poll(50);
      if (received === null) return;
      if (performance.now() > until) throw new Error("still connected");
    }
  }

  loginRequest(
    wish: LoginWish,
    transit: boolean,
    stage: number,
    next: number,
    pairs: readonly TextPair[],
  ): Received {
    const text = formatText(pairs);
    this.send((view) => {
      requests.encodeLogin(
        view,
        0,
        transit,
        false,
        stage,
        next,
        0x00023d00,
        wish.isid ?? 1,
        wish.tsih ?? 0,
        this.itt,
        wish.cid ?? 0,
        this.cmdSN,
        this.expStatSN,
        text.length,
      );
    }, text);
    return this.next();
  }

  /** Straight into full feature phase; the last response comes back. */
  login(wish: LoginWish = {}): Received {
    const pairs: TextPair[] = [["InitiatorName", wish.name ?? INITIATOR]];
    if (wish.discovery) pairs.push(["SessionType", "Discovery"]);
    else pairs.push(["TargetName", wish.targetName ?? TARGET]);
    const keys = wish.keys ?? [
      ["InitialR2T", "No"],
      ["ImmediateData", "Yes"],
      ["MaxRecvDataSegmentLength", "262144"],
      ["MaxBurstLength", "1048576"],
      ["FirstBurstLength", "262144"],
    ];
    return this.loginRequest(wish, true, 1, 3, [...pairs, ...keys]);
  }

  /** A SCSI Command; returns its ITT. `expected`: EDTL. */
  command(
    cdb: readonly number[],
    direction: "none" | "read" | "write",
    expected: number,
    options: {
      lun?: number;
      immediateData?: Uint8Array;
      final?: boolean;
      immediate?: boolean;
      ahs?: Uint8Array;
    } = {},
  ): number {
    const itt = ++this.itt;
    const flags =
      (options.final === false ? 0 : pdu.FLAG_FINAL) |
      (direction === "read" ? pdu.FLAG_READ : direction === "write" ? pdu.FLAG_WRITE : 0) |
      requests.ATTRIBUTE_SIMPLE;
    const data = options.immediateData ?? new Uint8Array(0);
    const cmdSN = options.immediate ? this.cmdSN : this.cmdSN++ >>> 0;
    this.send(
      (view) => {
        const cdbBytes = Uint8Array.from(cdb);
        const lun = options.lun ?? 0;
        requests.encodeScsiCommand(
          view,
          0,
          flags,
          lun,
          itt,
          expected,
          cmdSN,
          this.expStatSN,
          cdbBytes,
          data.length,
        );
        if (options.immediate) view.setUint8(0, view.getUint8(0) | pdu.IMMEDIATE);
      },
      data,
      options.ahs ?? new Uint8Array(0),
    );
    return itt;
  }

  dataOut(itt: number, ttt: number, dataSN: number, offset: number, data: Uint8Array, final: boolean): void {
    this.send((view) => {
      requests.encodeDataOut(view, 0, final, 0, itt, ttt, this.expStatSN, dataSN, offset, data.length);
    }, data);
  }

  nop(data: Uint8Array = new Uint8Array(0)): Received {
    const itt = ++this.itt;
    this.send(
      (view) =>
        requests.encodeNopOut(view, 0, true, 0, itt, pdu.TAG_NONE, this.cmdSN, this.expStatSN, data.length),
      data,
    );
    const received = this.next();
    if (received.opcode !== pdu.OP_NOP_IN || received.field(pdu.AT_ITT) !== itt) {
      throw new Error(`${received.name} instead of the ping's answer`);
    }
    return received;
  }

  manage(code: number, referenced = pdu.TAG_NONE, lun = 0): Received {
    const itt = ++this.itt;
    this.send((view) =>
      requests.encodeTaskManagement(view, 0, true, code, lun, itt, referenced, 0, this.cmdSN, this.expStatSN),
    );
    return this.next();
  }
}
