/** @module A scripted target for the initiator's tests, in a Worker of its own since the initiator blocks its thread.
 *  A script sees each PDU and says, byte for byte, what goes back, so that it can also say what no target should. */
import type { Socket } from "bun";
import {
  AT_CMD_SN,
  AT_ITT,
  AT_LOGIN_STATUS,
  BHS_BYTES,
  dataBytesOf,
  field,
  flagsOf,
  isImmediate,
  nextSerial,
  OP_DATA_OUT,
  OP_LOGIN,
  opcodeOf,
  padBytes,
  STAGE_FULL_FEATURE,
} from "../pdu.ts";
import { encodeLoginResponse, stampSequence } from "../responses.ts";
import { formatText, parseText, type TextPair } from "../text.ts";

export interface Pdu {
  readonly header: DataView;
  readonly data: Uint8Array;
}

export type Script = (target: FakeTarget) => Promise<void>;

export class FakeTarget {
  statSN = 1;
  expCmdSN = 1;
  /** Commands beyond the next one that the window lets in. */
  window = 16;
  readonly notes: unknown[];
  readonly #socket: Socket<unknown>;
  #received = Buffer.alloc(0);
  #wake: () => void = () => {};
  closed = false;

  constructor(socket: Socket<unknown>, notes: unknown[]) {
    this.#socket = socket;
    this.notes = notes;
  }

  take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    this.#wake();
  }

  end(): void {
    this.closed = true;
    this.#wake();
  }

  /** The next PDU; null: the initiator is gone. */
  async read(): Promise<Pdu | null> {
    for (;;) {
      if (this.#received.length >= BHS_BYTES) {
        const header = new DataView(Uint8Array.from(this.#received.subarray(0, BHS_BYTES)).buffer);
        const bytes = dataBytesOf(header, 0);
        const total = BHS_BYTES + bytes + padBytes(bytes);
        if (this.#received.length >= total) {
          const data = Uint8Array.from(this.#received.subarray(BHS_BYTES, BHS_BYTES + bytes));
          this.#received = this.#received.subarray(total);
          this.#follow(header);
          return { header, data };
        }
      }
      if (this.closed) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** CmdSN moves on with every request that is not immediate. */
  #follow(header: DataView): void {
    const opcode = opcodeOf(header, 0);
    if (opcode === OP_LOGIN) this.expCmdSN = field(header, 0, AT_CMD_SN);
    else if (opcode !== OP_DATA_OUT && !isImmediate(header, 0)) {
      this.expCmdSN = nextSerial(field(header, 0, AT_CMD_SN));
    }
  }

  /** Encodes a header and sends it with its data. `sequence`: the statSN to claim; true: the next; false: none. */
  async send(
    encode: (view: DataView) => void,
    data: Uint8Array = new Uint8Array(0),
    sequence: boolean | number = true,
  ): Promise<void> {
    const bytes = new Uint8Array(BHS_BYTES + data.length + padBytes(data.length));
    const view = new DataView(bytes.buffer);
    encode(view);
    const statSN = typeof sequence === "number" ? sequence : this.statSN;
    stampSequence(view, 0, statSN, this.expCmdSN, (this.expCmdSN + this.window) >>> 0);
    if (sequence === true) this.statSN++;
    bytes.set(data, BHS_BYTES);
    await this.raw(bytes);
  }

  async raw(bytes: Uint8Array, pieceBytes = bytes.length): Promise<void> {
    for (let at = 0; at < bytes.length && !this.closed; ) {
      const piece = bytes.subarray(at, Math.min(at + pieceBytes, bytes.length));
      const sent = this.#socket.write(piece);
      this.#socket.flush();
      if (sent > 0) at += sent;
      if (sent < piece.length || pieceBytes < bytes.length) await Bun.sleep(sent < piece.length ? 1 : 0);
    }
  }

  drop(): void {
    this.#socket.terminate();
  }

  /** Answers a whole login; `answers` are the operational keys' values. null: the initiator is gone. */
  async login(answers: readonly TextPair[] = []): Promise<readonly TextPair[] | null> {
    const all: TextPair[] = [];
    for (;;) {
      const pdu = await this.read();
      if (pdu === null) return null;
      const text = parseText(pdu.data);
      if (opcodeOf(pdu.header, 0) !== OP_LOGIN || text.kind === "malformed") throw new Error("not a login");
      all.push(...text.pairs);
      const stage = (flagsOf(pdu.header, 0) >>> 2) & 3;
      const last = (flagsOf(pdu.header, 0) & 3) === STAGE_FULL_FEATURE;
      const reply: TextPair[] = stage === 0 ? [["AuthMethod", "None"]] : [...answers];
      await this.loginResponse(pdu, reply, stage, last ? 3 : 1);
      if (last) return all;
    }
  }

  async loginResponse(pdu: Pdu, reply: readonly TextPair[], stage: number, next: number, status = 0) {
    const { header } = pdu;
    const text = formatText(reply);
    const itt = field(header, 0, AT_ITT);
    const high = header.getUint32(8);
    const low = header.getUint16(12);
    await this.send((view) => {
      const tsih = next === STAGE_FULL_FEATURE ? 1 : 0;
      encodeLoginResponse(view, 0, next > stage, false, stage, next, high, low, tsih, itt, 0, text.length);
      view.setUint16(AT_LOGIN_STATUS, status);
    }, text);
  }
}

/** Listens on a free loopback port; each connection runs the script. */
export function serveScript(script: Script, notes: unknown[]): number {
  const listener = Bun.listen<{ target: FakeTarget }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        notes.push("connection");
        const target = new FakeTarget(socket, notes);
        socket.data = { target };
        script(target).catch((error: unknown) => {
          notes.push(`script: ${error instanceof Error ? error.message : String(error)}`);
        });
      },
      data(socket, bytes) {
        socket.data.target.take(bytes);
      },
      close(socket) {
        socket.data.target.end();
      },
      error() {},
    },
  });
  return listener.port;
}
