/** @module A target that takes every write and throws it away: what a client reaches against it is the client's own
 *  ceiling, printed beside the figures of targets that do something.
 *
 *      bun bench/peers/null-target.ts            prints "PORT"; one LUN that answers GOOD to everything */
import { ptr } from "bun:ffi";
import { checked, libc } from "../../src/base/ffi.ts";
import { MSG_NOSIGNAL } from "../../src/base/socket.ts";
import { negotiation, receive, settle } from "../../src/iscsi/negotiate.ts";
import {
  AT_CMD_SN,
  AT_EDTL,
  AT_EXP_CMD_SN,
  AT_ITT,
  AT_MAX_CMD_SN,
  AT_STAT_SN,
  AT_TTT,
  BHS_BYTES,
  dataBytesOf,
  FLAG_FINAL,
  FLAG_UNDERFLOW,
  FLAG_WRITE,
  flagsOf,
  isImmediate,
  nextSerial,
  OP_DATA_OUT,
  OP_LOGIN,
  OP_LOGOUT,
  OP_NOP_OUT,
  OP_SCSI_COMMAND,
  OP_TEXT,
  opcodeOf,
  padBytes,
  STAGE_FULL_FEATURE,
  TAG_NONE,
} from "../../src/iscsi/pdu.ts";
import {
  encodeLoginResponse,
  encodeLogoutResponse,
  encodeNopIn,
  encodeR2T,
  encodeScsiResponse,
  encodeTextResponse,
} from "../../src/iscsi/responses.ts";
import { formatText, parseText } from "../../src/iscsi/text.ts";

export const NULL_TARGET = "iqn.2026-01.test:null";
const WINDOW = 64;
const DATA_BYTES = 16 * 1024 * 1024 + 4;
const AF_INET_LOOPBACK = Uint8Array.of(2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
const MSG_WAITALL = 0x100;

interface Write {
  readonly itt: number;
  readonly bytes: number;
  have: number;
  r2tSN: number;
}

class Connection {
  readonly #fd: number;
  readonly #in = new DataView(new ArrayBuffer(BHS_BYTES));
  readonly #out = new Uint8Array(new ArrayBuffer(BHS_BYTES + 8192));
  readonly #view = new DataView(this.#out.buffer);
  readonly #data = new Uint8Array(DATA_BYTES);
  readonly #inAddress = ptr(new Uint8Array(this.#in.buffer));
  readonly #outAddress = ptr(this.#out);
  readonly #dataAddress = ptr(this.#data);
  readonly #negotiation = negotiation("target");
  #statSN = 1;
  #expCmdSN = 1;
  /** Writes under way, by task tag. */
  readonly #writes = new Map<number, Write>();

  constructor(fd: number) {
    this.#fd = fd;
  }

  run(): void {
    while (this.#take(this.#inAddress, BHS_BYTES)) {
      const bytes = dataBytesOf(this.#in, 0);
      if (bytes > 0 && !this.#take(this.#dataAddress, bytes + padBytes(bytes))) return;
      if (!this.#answer(bytes)) return;
    }
  }

  #take(address: number, bytes: number): boolean {
    for (let done = 0; done < bytes; ) {
      const got = checked(libc.recv(this.#fd, address + done, bytes - done, MSG_WAITALL));
      if (got <= 0) return false;
      done += got;
    }
    return true;
  }

  #send(dataBytes = 0, counts = true): boolean {
    this.#view.setUint32(AT_STAT_SN, this.#statSN);
    if (counts) this.#statSN = nextSerial(this.#statSN);
    this.#view.setUint32(AT_EXP_CMD_SN, this.#expCmdSN);
    this.#view.setUint32(AT_MAX_CMD_SN, this.#expCmdSN + WINDOW);
    const bytes = BHS_BYTES + dataBytes + padBytes(dataBytes);
    return checked(libc.send(this.#fd, this.#outAddress, bytes, MSG_NOSIGNAL)) === bytes;
  }

  #answer(dataBytes: number): boolean {
    const header = this.#in;
    const itt = header.getUint32(AT_ITT);
    const opcode = opcodeOf(header, 0);
    if (opcode !== OP_DATA_OUT && opcode !== OP_LOGIN && !isImmediate(header, 0)) {
      this.#expCmdSN = nextSerial(header.getUint32(AT_CMD_SN));
    }
    switch (opcode) {
      case OP_LOGIN:
        return this.#login(dataBytes, itt);
      case OP_SCSI_COMMAND:
        return this.#command(dataBytes, itt);
      case OP_DATA_OUT:
        return this.#dataOut(dataBytes, this.#writes.get(itt));
      case OP_NOP_OUT:
        if (itt === TAG_NONE) return true;
        encodeNopIn(this.#view, 0, 0, itt, TAG_NONE, 0);
        return this.#send();
      case OP_LOGOUT:
        encodeLogoutResponse(this.#view, 0, 0, itt, 2, 0);
        return this.#send() && false;
      case OP_TEXT: {
        const text = formatText([["TargetName", NULL_TARGET]]);
        encodeTextResponse(this.#view, 0, true, false, itt, header.getUint32(AT_TTT), text.length);
        this.#out.set(text, BHS_BYTES);
        return this.#send(text.length);
      }
      default:
        return false;
    }
  }

  #login(dataBytes: number, itt: number): boolean {
    const header = this.#in;
    const text = parseText(this.#data.subarray(0, dataBytes));
    const received = text.kind === "text" ? receive(this.#negotiation, text.pairs) : text;
    if (received.kind !== "ok") return false;
    const [stage, next] = [(flagsOf(header, 0) >>> 2) & 3, flagsOf(header, 0) & 3];
    const reply = [...received.reply];
    if (stage === 1) reply.push(["MaxRecvDataSegmentLength", String(this.#negotiation.terms.segmentBytes)]);
    const data = formatText(reply);
    const [high, low] = [header.getUint32(8), header.getUint16(12)];
    this.#expCmdSN = header.getUint32(AT_CMD_SN);
    const tsih = next === STAGE_FULL_FEATURE ? 1 : 0;
    encodeLoginResponse(this.#view, 0, true, false, stage, next, high, low, tsih, itt, 0, data.length);
    this.#out.set(data, BHS_BYTES);
    if (next === STAGE_FULL_FEATURE) settle(this.#negotiation);
    return this.#send(data.length);
  }

  #command(dataBytes: number, itt: number): boolean {
    const flags = flagsOf(this.#in, 0);
    const bytes = this.#in.getUint32(AT_EDTL);
    if ((flags & FLAG_WRITE) === 0) {
      encodeScsiResponse(this.#view, 0, 0, 0, itt, 0, bytes === 0 ? 0 : FLAG_UNDERFLOW, bytes, 0);
      return this.#send();
    }
    const write = { itt, bytes, have: 0, r2tSN: 0 };
    this.#writes.set(itt, write);
    return this.#dataOut(dataBytes, write);
  }

  /** The end of a sequence: asks for more, or ends the write. */
  #dataOut(dataBytes: number, write: Write | undefined): boolean {
    if (write === undefined) return false;
    write.have += dataBytes;
    if ((flagsOf(this.#in, 0) & FLAG_FINAL) === 0) return true;
    if (write.have >= write.bytes) {
      this.#writes.delete(write.itt);
      encodeScsiResponse(this.#view, 0, 0, 0, write.itt, 0, 0, 0, 0);
      return this.#send();
    }
    const bytes = Math.min(write.bytes - write.have, this.#negotiation.parameters.maxBurstBytes);
    encodeR2T(this.#view, 0, 0, write.itt, 1, write.r2tSN++, write.have, bytes);
    return this.#send(0, false);
  }
}

if (import.meta.main) {
  const listener = checked(libc.socket(2, 1, 0));
  const address = new Uint8Array(AF_INET_LOOPBACK);
  const bytes = new Uint32Array([address.length]);
  checked(libc.bind(listener, ptr(address), address.length));
  checked(libc.listen(listener, 8));
  checked(libc.getsockname(listener, ptr(address), ptr(bytes)));
  process.stdout.write(`${((address[2] ?? 0) << 8) | (address[3] ?? 0)}\n`);
  for (;;) {
    const fd = checked(libc.accept4(listener, null, null, 0));
    if (fd < 0) break;
    const one = new Int32Array([1]);
    libc.setsockopt(fd, 6, 1, ptr(one), 4);
    new Connection(fd).run();
    libc.close(fd);
  }
}
