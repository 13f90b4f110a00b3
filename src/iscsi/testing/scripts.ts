/** @module What the fake target does, by name: the Worker of the initiator's tests. Well-behaved scripts first. */
import {
  ASYNC_CONNECTION_DROP,
  ASYNC_LOGOUT_REQUEST,
  AT_BUFFER_OFFSET,
  AT_CMD_SN,
  AT_DATA_SN,
  AT_EDTL,
  AT_EXP_STAT_SN,
  AT_ITT,
  AT_TTT,
  BHS_BYTES,
  FLAG_FINAL,
  FLAG_OVERFLOW,
  FLAG_STATUS,
  FLAG_UNDERFLOW,
  field,
  flagsOf,
  isImmediate,
  OP_LOGOUT,
  OP_NOP_OUT,
  OP_SCSI_COMMAND,
  OP_TASK_MANAGEMENT,
  OP_TEXT,
  opcodeOf,
  TAG_NONE,
} from "../pdu.ts";
import {
  encodeAsyncMessage,
  encodeDataIn,
  encodeLogoutResponse,
  encodeNopIn,
  encodeR2T,
  encodeReject,
  encodeScsiResponse,
  encodeTaskManagementResponse,
  encodeTextResponse,
} from "../responses.ts";
import { formatText, type TextPair } from "../text.ts";
import { type FakeTarget, type Pdu, type Script, serveScript } from "./fake-target.ts";

const SENSE = Uint8Array.of(0, 18, 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0);

/** Byte `index` of any data in these tests. */
export function dataByte(index: number): number {
  return (index * 7 + (index >>> 8)) & 0xff;
}

const dataOf = (from: number, to: number) =>
  Uint8Array.from({ length: to - from }, (_, i) => dataByte(from + i));
const ittOf = (pdu: Pdu) => field(pdu.header, 0, AT_ITT);

function respond(target: FakeTarget, pdu: Pdu, status = 0, flags = 0, residual = 0, data?: Uint8Array) {
  const bytes = data?.length ?? 0;
  return target.send(
    (view) => encodeScsiResponse(view, 0, 0, status, ittOf(pdu), 0, flags, residual, bytes),
    data,
  );
}

function dataIn(
  target: FakeTarget,
  pdu: Pdu,
  dataSN: number,
  from: number,
  to: number,
  flags = 0,
  residual = 0,
) {
  return target.send(
    (view) => encodeDataIn(view, 0, flags, 0, 0, ittOf(pdu), dataSN, from, residual, to - from),
    dataOf(from, to),
    (flags & FLAG_STATUS) !== 0,
  );
}

function r2t(target: FakeTarget, pdu: Pdu, ttt: number, sn: number, offset: number, bytes: number) {
  return target.send((view) => encodeR2T(view, 0, 0, ittOf(pdu), ttt, sn, offset, bytes), undefined, false);
}

/** The next command; NOPs, Logout and task management are answered on the way. */
async function nextCommand(target: FakeTarget): Promise<Pdu | null> {
  for (;;) {
    const pdu = await target.read();
    if (pdu === null) return null;
    const { header } = pdu;
    const opcode = opcodeOf(header, 0);
    if (opcode === OP_SCSI_COMMAND) return pdu;
    if (opcode === OP_NOP_OUT) {
      const [itt, ttt] = [ittOf(pdu), field(header, 0, AT_TTT)];
      target.notes.push(
        `NOP-Out itt=${itt.toString(16)} ttt=${ttt.toString(16)} immediate=${isImmediate(header, 0)}`,
      );
      if (itt !== TAG_NONE) await target.send((view) => encodeNopIn(view, 0, 0, itt, TAG_NONE, 0));
    } else if (opcode === OP_LOGOUT) {
      await target.send((view) => encodeLogoutResponse(view, 0, 0, ittOf(pdu), 2, 0));
      target.notes.push("logout");
    } else if (opcode === OP_TASK_MANAGEMENT) {
      const referenced = field(header, 0, AT_TTT);
      target.notes.push(`TMF ${flagsOf(header, 0) & 0x7f} for ${referenced.toString(16)}`);
      await target.send((view) => encodeTaskManagementResponse(view, 0, 0, ittOf(pdu)));
    }
  }
}

/** Logs in, then treats every command alike. */
function perCommand(
  act: (target: FakeTarget, pdu: Pdu, number: number) => Promise<unknown>,
  answers: readonly TextPair[] = [],
): Script {
  return async (target) => {
    if ((await target.login(answers)) === null) return;
    for (let number = 0; ; number++) {
      const pdu = await nextCommand(target);
      if (pdu === null) return;
      await act(target, pdu, number);
    }
  };
}

const BURSTS: readonly TextPair[] = [
  ["InitialR2T", "No"],
  ["ImmediateData", "Yes"],
  ["MaxRecvDataSegmentLength", "4096"],
  ["FirstBurstLength", "10000"],
  ["MaxBurstLength", "16384"],
];

/** Takes a write of any size by the rules of BURSTS and notes every PDU of it. */
async function takeWrite(target: FakeTarget, command: Pdu): Promise<void> {
  const total = field(command.header, 0, AT_EDTL);
  const all = new Uint8Array(total);
  all.set(command.data);
  let have = command.data.length;
  const note = [`command ${have}${flagsOf(command.header, 0) & FLAG_FINAL ? " F" : ""}`];
  const take = async () => {
    for (let sn = 0; ; sn++) {
      const pdu = await target.read();
      if (pdu === null) return;
      const { header, data } = pdu;
      const final = (flagsOf(header, 0) & FLAG_FINAL) !== 0;
      const fits = field(header, 0, AT_DATA_SN) === sn && field(header, 0, AT_BUFFER_OFFSET) === have;
      all.set(data, field(header, 0, AT_BUFFER_OFFSET));
      have += data.length;
      note.push(
        `${field(header, 0, AT_TTT).toString(16)}:${data.length}${final ? " F" : ""}${fits ? "" : " WRONG"}`,
      );
      if (final) return;
    }
  };
  if ((flagsOf(command.header, 0) & FLAG_FINAL) === 0) await take();
  for (let sn = 0; have < total && !target.closed; sn++) {
    await r2t(target, command, 0x100 + sn, sn, have, Math.min(16384, total - have));
    await take();
  }
  target.notes.push(
    note.join(", "),
    all.every((byte, index) => byte === dataByte(index)) ? "same" : "DIFFERS",
  );
  await respond(target, command);
}

export const SCRIPTS: Record<string, Script> = {
  good: perCommand((target, pdu) => respond(target, pdu)),
  write: perCommand(takeWrite, BURSTS),
  writeR2TOnly: perCommand(takeWrite, [
    ...BURSTS.filter(([key]) => key !== "InitialR2T" && key !== "ImmediateData"),
    ["InitialR2T", "Yes"],
    ["ImmediateData", "No"],
  ]),
  readSegments: perCommand(async (target, pdu) => {
    const total = field(pdu.header, 0, AT_EDTL);
    let at = 0;
    let sn = 0;
    for (const bytes of [1, 0, 2, 3, 511, 4096, total]) {
      const to = Math.min(at + bytes, total);
      await dataIn(target, pdu, sn++, at, to, to === total ? FLAG_FINAL : 0);
      at = to;
    }
    await respond(target, pdu);
  }),
  readDribble: perCommand(async (target, pdu) => {
    const whole = new Uint8Array(BHS_BYTES + 12);
    const view = new DataView(whole.buffer);
    encodeDataIn(view, 0, FLAG_FINAL | FLAG_STATUS | FLAG_UNDERFLOW, 0, 0, ittOf(pdu), 0, 0, 1, 9);
    view.setUint32(24, target.statSN++);
    view.setUint32(28, target.expCmdSN);
    view.setUint32(32, target.expCmdSN + 8);
    whole.set(dataOf(0, 9), BHS_BYTES);
    await target.raw(whole, 1);
  }),
  sense: perCommand((target, pdu) => respond(target, pdu, 2, FLAG_UNDERFLOW, 100, SENSE)),
  overflow: perCommand(async (target, pdu) => {
    const total = field(pdu.header, 0, AT_EDTL);
    await dataIn(target, pdu, 0, 0, total, FLAG_FINAL | FLAG_STATUS | FLAG_OVERFLOW, 4);
  }),
  targetFailure: perCommand((target, pdu) =>
    target.send((view) => encodeScsiResponse(view, 0, 1, 0, ittOf(pdu), 0, 0, 0, 0)),
  ),
  backwards: async (target) => {
    if ((await target.login()) === null) return;
    const held: Pdu[] = [];
    for (let pdu = await nextCommand(target); pdu !== null; pdu = await nextCommand(target)) {
      held.push(pdu);
      if (held.length < 4) continue;
      target.notes.push(held.map(({ header }) => field(header, 0, AT_CMD_SN)).join());
      for (const each of held.splice(0).reverse()) await respond(target, each, each.header.getUint8(33));
    }
  },
  silent: perCommand(async () => {}),
  ping: perCommand(async (target, pdu) => {
    await target.send((view) => encodeNopIn(view, 0, 3, TAG_NONE, 0x77, 0), undefined, false);
    const answer = await target.read();
    if (answer === null) return;
    const { header } = answer;
    const [opcode, ttt, lun] = [opcodeOf(header, 0), field(header, 0, AT_TTT), header.getUint16(8)];
    target.notes.push(`${opcode} ${ttt.toString(16)} lun ${lun} immediate ${isImmediate(header, 0)}`);
    await respond(target, pdu);
  }),
  /** The window closes behind each command, and opens by a NOP-In 50 ms later. */
  window: async (target) => {
    target.window = 0;
    if ((await target.login()) === null) return;
    for (let pdu = await nextCommand(target); pdu !== null; pdu = await nextCommand(target)) {
      target.window = -1;
      await respond(target, pdu);
      await Bun.sleep(50);
      target.notes.push("open");
      target.window = 0;
      await target.send((view) => encodeNopIn(view, 0, 0, TAG_NONE, TAG_NONE, 0), undefined, false);
    }
  },
  closedWindow: async (target) => {
    target.window = -1;
    if ((await target.login()) === null) return;
    if ((await nextCommand(target)) !== null) target.notes.push("a command came");
  },
  asyncLogout: perCommand(async (target, pdu) => {
    await target.send((view) => encodeAsyncMessage(view, 0, ASYNC_LOGOUT_REQUEST, 0, 0, 3));
    await respond(target, pdu);
  }),
  asyncDrop: perCommand((target) =>
    target.send((view) => encodeAsyncMessage(view, 0, ASYNC_CONNECTION_DROP, 0, 0, 0)),
  ),
  reject: perCommand(async (target, pdu, number) => {
    if (number > 0) return respond(target, pdu);
    return target.send((view) => encodeReject(view, 0, 4), new Uint8Array(pdu.header.buffer));
  }),
  dropAtOnce: perCommand(async (target) => target.drop()),

  // --- what no target should do ---
  hugeSegment: perCommand((target, pdu) =>
    target.send((view) => {
      encodeScsiResponse(view, 0, 0, 2, ittOf(pdu), 0, 0, 0, 0);
      view.setUint32(4, 0x00ffffff);
    }),
  ),
  beyondBuffer: perCommand(async (target, pdu) => {
    const total = field(pdu.header, 0, AT_EDTL);
    await dataIn(target, pdu, 0, 0, total + 1, FLAG_FINAL);
  }),
  gapInData: perCommand((target, pdu) => dataIn(target, pdu, 0, 4, 8)),
  wrongDataSN: perCommand((target, pdu) => dataIn(target, pdu, 5, 0, 8)),
  wrongTag: perCommand((target, pdu) =>
    target.send((view) => encodeScsiResponse(view, 0, 0, 0, ittOf(pdu) ^ 0x100, 0, 0, 0, 0)),
  ),
  twice: perCommand(async (target, pdu) => {
    await respond(target, pdu);
    await respond(target, pdu);
  }),
  shortRead: perCommand(async (target, pdu) => {
    await dataIn(target, pdu, 0, 0, 10, FLAG_FINAL);
    await respond(target, pdu);
  }),
  /** Zeros where a digest should be. */
  wrongHeaderDigest: perCommand(
    async (target, pdu) => {
      await respond(target, pdu);
      await target.raw(new Uint8Array(4));
    },
    [["HeaderDigest", "CRC32C"]],
  ),
  wrongDataDigest: perCommand(
    async (target, pdu) => {
      await dataIn(target, pdu, 0, 0, 64, FLAG_FINAL | FLAG_STATUS);
      await target.raw(new Uint8Array(4));
    },
    [["DataDigest", "CRC32C"]],
  ),
  wrongStatSN: perCommand((target, pdu) =>
    target.send((view) => encodeScsiResponse(view, 0, 0, 0, ittOf(pdu), 0, 0, 0, 0), undefined, 99),
  ),
  residualTooLarge: perCommand((target, pdu) => respond(target, pdu, 0, FLAG_UNDERFLOW, 0x7fffffff)),
  unknownOpcode: perCommand((target) =>
    target.send((view) => {
      view.setUint8(0, 0x3a);
      view.setUint32(AT_ITT, TAG_NONE);
    }),
  ),
  r2tTooFar: perCommand((target, pdu) => r2t(target, pdu, 1, 0, 0, 0x100000), [["InitialR2T", "Yes"]]),
  r2tElsewhere: perCommand((target, pdu) => r2t(target, pdu, 1, 0, 99, 1)),
  r2tForRead: perCommand((target, pdu) => r2t(target, pdu, 1, 0, 0, 1)),
  halfPdu: perCommand(async (target) => {
    await target.raw(new Uint8Array(20));
    await Bun.sleep(5);
    target.drop();
  }),
  pingFlood: perCommand(async (target) => {
    for (let count = 0; count < 200000 && !target.closed; count++) {
      await target.send((view) => encodeNopIn(view, 0, 0, TAG_NONE, count, 0), undefined, false);
    }
  }),
  /** A right answer with one to three bytes of its header changed; the number of the connection is the seed. */
  mutated: async (target) => {
    let seed = target.notes.length * 7919;
    const random = (limit: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % limit;
    };
    if ((await target.login()) === null) return;
    const pdu = await nextCommand(target);
    if (pdu === null) return;
    await target.send(
      (view) => {
        encodeDataIn(view, 0, FLAG_FINAL | FLAG_STATUS, 0, 0, ittOf(pdu), 0, 0, 0, 64);
        for (let count = random(3) + 1; count > 0; count--) view.setUint8(random(BHS_BYTES), random(256));
      },
      dataOf(0, 64),
    );
    await Bun.sleep(2);
    target.drop();
  },

  // --- login ---
  refused: async (target) => {
    const pdu = await target.read();
    if (pdu !== null) await target.loginResponse(pdu, [], 0, 0, 0x0203);
  },
  moved: async (target) => {
    const pdu = await target.read();
    if (pdu !== null) await target.loginResponse(pdu, [["TargetAddress", "192.0.2.7:3260,1"]], 0, 0, 0x0101);
  },
  chapOnly: async (target) => {
    const pdu = await target.read();
    if (pdu !== null) await target.loginResponse(pdu, [["AuthMethod", "CHAP"]], 0, 0);
  },
  outsideOffer: async (target) => {
    await target.login([["MaxBurstLength", "16777215"]]);
  },
  wildLogin: async (target) => {
    const pdu = await target.read();
    if (pdu !== null) await target.raw(new Uint8Array(4096).fill(0xa5));
  },
  endlessLogin: async (target) => {
    for (let pdu = await target.read(); pdu !== null; pdu = await target.read()) {
      await target.loginResponse(pdu, [], 0, 0);
    }
  },
  noLogin: async (target) => {
    await target.read();
  },
  targets: async (target) => {
    const declared = await target.login();
    target.notes.push(declared?.find(([key]) => key === "SessionType")?.[1]);
    const pairs: TextPair[] = [];
    for (let number = 0; number < 3; number++) {
      pairs.push(["TargetName", `iqn.2026-01.test:${number}`], ["TargetAddress", `192.0.2.${number}:3260,1`]);
    }
    const text = formatText(pairs);
    for (let at = 0; at < text.length; at += 40) {
      const pdu = await target.read();
      if (pdu === null || opcodeOf(pdu.header, 0) !== OP_TEXT) return;
      target.notes.push(`${field(pdu.header, 0, AT_TTT).toString(16)} ${pdu.data.length > 0}`);
      const part = text.subarray(at, at + 40);
      const last = at + 40 >= text.length;
      await target.send(
        (view) => encodeTextResponse(view, 0, last, !last, ittOf(pdu), last ? TAG_NONE : 0x55, part.length),
        part,
      );
    }
    const pdu = await nextCommand(target);
    if (pdu !== null) target.notes.push(field(pdu.header, 0, AT_EXP_STAT_SN));
  },
};

declare const self: Worker;

/** "script" -> port; "?" -> notes. */
if (!Bun.isMainThread) {
  const notes: unknown[] = [];
  self.onmessage = ({ data }: MessageEvent<string>) => {
    const script = SCRIPTS[data];
    self.postMessage(script === undefined ? notes : serveScript(script, notes));
  };
}
