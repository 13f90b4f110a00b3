/** @module One TCP connection of the initiator: sends one PDU at a time from where its parts lie, receives to where the
 *  caller says. Never blocks but in `wait`. Nothing is allocated after `connect`. */
import { ptr } from "bun:ffi";
import { checked, EAGAIN, EINTR, errorText, libc } from "../base/ffi.ts";
import {
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  POLLERR,
  POLLOUT,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../base/socket.ts";
import { NO_DIGESTS } from "./digest.ts";
import { resolveAddress } from "./initiator-address.ts";
import { BHS_BYTES, padBytes } from "./pdu.ts";

const EINPROGRESS = 115;

// One small buffer: header out and its digest, three iovecs, msghdr, pollfd, padding and the data's digest.
const AT_HEADER = 0;
const AT_IOVECS = 64;
const AT_MSGHDR = 112;
const AT_POLLFD = 168;
/** Padding ends here, and the data digest begins. */
const AT_TAIL = 180;
const BUFFER_BYTES = 192;
const MSGHDR_IOV = 16;
const MSGHDR_IOVLEN = 24;

export type Connected =
  | { readonly kind: "connected"; readonly wire: Wire }
  | { readonly kind: "failed"; readonly cause: string };

export class Wire {
  /** The header of the next PDU to send; encode it here, then `begin`. */
  readonly header: DataView;
  readonly #view: DataView;
  readonly #address: number;
  /** What is agreed on, from full feature phase on. */
  digests = NO_DIGESTS;
  #fd: number;
  #headBytes = BHS_BYTES;
  #tailEnd = AT_TAIL;
  #dataAddress = 0;
  #dataBytes = 0;
  #totalBytes = 0;
  #sentBytes = 0;

  private constructor(fd: number) {
    this.#fd = fd;
    const buffer = new ArrayBuffer(BUFFER_BYTES);
    this.#view = new DataView(buffer);
    this.header = new DataView(buffer, AT_HEADER, BHS_BYTES);
    this.#address = ptr(new Uint8Array(buffer));
    this.#putAddress(AT_MSGHDR + MSGHDR_IOV, this.#address + AT_IOVECS);
  }

  static connect(host: string, port: number, deadlineMs: number): Connected {
    const address = resolveAddress(host, port);
    if (address === null) return { kind: "failed", cause: `unknown host ${host}` };
    const fd = checked(libc.socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0) return { kind: "failed", cause: errorText(fd) };
    const wire = new Wire(fd);
    const cause = wire.#connect(address.bytes, deadlineMs);
    if (cause === "") return { kind: "connected", wire };
    wire.close();
    return { kind: "failed", cause };
  }

  #connect(address: Uint8Array, deadlineMs: number): string {
    const started = checked(libc.connect(this.#fd, ptr(address), address.length));
    if (started < 0 && started !== -EINPROGRESS) return errorText(started);
    if (this.wait(POLLOUT, deadlineMs) === 0) return "no answer to the connection in time";
    const option = new Int32Array([0]);
    const optionBytes = new Uint32Array([4]);
    libc.getsockopt(this.#fd, SOL_SOCKET, SO_ERROR, ptr(option), ptr(optionBytes));
    if (option[0] !== 0) return errorText(-(option[0] ?? 0));
    option[0] = 1;
    libc.setsockopt(this.#fd, IPPROTO_TCP, TCP_NODELAY, ptr(option), 4);
    return "";
  }

  get open(): boolean {
    return this.#fd >= 0;
  }

  /** A PDU is on its way out and not all of it has been taken by the kernel. */
  get sending(): boolean {
    return this.#sentBytes < this.#totalBytes;
  }

  /** Sends the PDU whose header was encoded and whose data segment lies at the address; `push` does the work. */
  begin(dataAddress: number, dataBytes: number): void {
    this.#dataAddress = dataAddress;
    this.#dataBytes = dataBytes;
    this.#sentBytes = 0;
    let tailBytes = padBytes(dataBytes);
    this.#headBytes = BHS_BYTES;
    this.#tailEnd = AT_TAIL;
    const { crc, headerBytes, dataBytes: digestBytes } = this.digests;
    if (crc !== null && headerBytes > 0) {
      this.#headBytes += headerBytes;
      this.#view.setUint32(BHS_BYTES, crc.update(0, this.#address + AT_HEADER, BHS_BYTES), true);
    }
    if (crc !== null && digestBytes > 0 && dataBytes > 0) {
      const sum = crc.zeros(crc.update(0, dataAddress, dataBytes), tailBytes);
      this.#view.setUint32(AT_TAIL, sum, true);
      this.#tailEnd += digestBytes;
      tailBytes += digestBytes;
    }
    this.#totalBytes = this.#headBytes + dataBytes + tailBytes;
  }

  /** Bytes that the kernel took; -EAGAIN: none for now; else -errno. */
  push(): number {
    const data = this.#headBytes;
    const tail = data + this.#dataBytes;
    let count = this.#iovec(0, this.#address + AT_HEADER, 0, data);
    count = this.#iovec(count, this.#dataAddress, data, tail);
    const tailAddress = this.#address + this.#tailEnd - (this.#totalBytes - tail);
    count = this.#iovec(count, tailAddress, tail, this.#totalBytes);
    this.#view.setUint32(AT_MSGHDR + MSGHDR_IOVLEN, count, true);
    const sent = checked(libc.sendmsg(this.#fd, this.#address + AT_MSGHDR, MSG_NOSIGNAL));
    if (sent === -EINTR) return 0;
    if (sent > 0) this.#sentBytes += sent;
    return sent;
  }

  /** What is left of the part [from, to) of the PDU, as iovec `index`; returns the next index. */
  #iovec(index: number, address: number, from: number, to: number): number {
    const start = Math.max(from, this.#sentBytes);
    if (start >= to) return index;
    const at = AT_IOVECS + index * 16;
    this.#putAddress(at, address + (start - from));
    this.#view.setUint32(at + 8, to - start, true);
    this.#view.setUint32(at + 12, 0, true);
    return index + 1;
  }

  /** Bytes received; 0: the peer closed; -EAGAIN: none for now; else -errno. */
  receive(address: number, bytes: number): number {
    const got = checked(libc.recv(this.#fd, address, bytes, 0));
    return got === -EINTR ? -EAGAIN : got;
  }

  /** Waits until the socket is ready or the deadline (performance.now) has passed; 0: it has. */
  wait(events: number, deadlineMs: number): number {
    for (;;) {
      const restMs = Math.max(0, Math.min(Math.ceil(deadlineMs - performance.now()), 0x7fffffff));
      this.#view.setInt32(AT_POLLFD, this.#fd, true);
      this.#view.setInt16(AT_POLLFD + 4, events, true);
      this.#view.setInt16(AT_POLLFD + 6, 0, true);
      const ready = checked(libc.poll(this.#address + AT_POLLFD, 1, restMs));
      if (ready > 0) return this.#view.getInt16(AT_POLLFD + 6, true);
      if (ready < 0 && ready !== -EINTR) return POLLERR;
      if (ready === 0 && performance.now() >= deadlineMs) return 0;
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    libc.close(this.#fd);
    this.#fd = -1;
    this.#sentBytes = this.#totalBytes = 0;
  }

  #putAddress(at: number, address: number): void {
    this.#view.setUint32(at, address >>> 0, true);
    this.#view.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
  }
}
