import { beforeEach, describe, expect, test } from "bun:test";
import { u16, u32 } from "../bytes.ts";
import { defaultChangerIdentity, defaultTapeIdentity } from "../inquiry.ts";
import * as pr from "./persistent.ts";
import { SmcUnit } from "./smc.ts";
import { type SscState, SscUnit } from "./ssc.ts";
import { STATUS_GOOD, STATUS_RESERVATION_CONFLICT } from "./task.ts";
import { type Answer, FakeChangerPort, FakeInitiator, FakeTapePort, nexus } from "./testing.ts";

const GOOD = STATUS_GOOD;
const CONFLICT = STATUS_RESERVATION_CONFLICT;
const TYPES = [1, 3, 5, 6, 7, 8];

let port: FakeTapePort;
let unit: SscUnit;
let aborted: string[];
let a: Host;
let b: Host;
let c: Host;

/** One initiator, with the two commands in short. */
class Host {
  readonly initiator: FakeInitiator;
  readonly portName: string;

  constructor(to: SscUnit | SmcUnit, id: number) {
    const host = nexus(id);
    this.portName = host.initiatorPort;
    this.initiator = new FakeInitiator(to, host).settle();
  }

  /** Keys are small numbers: the last byte of eight. */
  out(action: number, key: number, actionKey = 0, type = 0, flags = 0): number {
    return this.outAnswer(action, key, actionKey, type, flags).status;
  }

  outAnswer(action: number, key: number, actionKey = 0, type = 0, flags = 0, bytes = 24): Answer {
    const list = new Uint8Array(24);
    list[7] = key;
    list[15] = actionKey;
    list[20] = flags;
    return this.initiator.run([0x5f, action, type, 0, 0, 0, 0, 0, bytes, 0], list);
  }

  in(action: number, allocation = 4096): Uint8Array {
    return this.initiator.run([0x5e, action, 0, 0, 0, 0, 0, allocation >> 8, allocation & 255, 0]).data;
  }

  write(): number {
    return this.initiator.run([0x0a, 0, 0, 2, 0, 0]).status;
  }

  /** SPACE to end of data. */
  move(): number {
    return this.initiator.run([0x11, 3, 0, 0, 0, 0]).status;
  }

  /** The attention that is pending, if any: "2a/03". */
  attention(): string {
    const { sense } = this.initiator.run([0]);
    if (sense === null) return "";
    return `${sense.asc.toString(16)}/${sense.ascq.toString(16).padStart(2, "0")}`;
  }
}

const generation = (host: Host) => u32(host.in(pr.READ_KEYS), 0);
const keys = (host: Host) => {
  const data = host.in(pr.READ_KEYS);
  return Array.from({ length: u32(data, 4) / 8 }, (_, index) => data[8 + index * 8 + 7]);
};
/** Key and type of the reservation, or null. */
const reservation = (host: Host) => {
  const data = host.in(pr.READ_RESERVATION);
  return u32(data, 4) === 0 ? null : [data[15], data[21]];
};

beforeEach(() => {
  port = new FakeTapePort();
  aborted = [];
  const abortTasksOf = (name: string) => void aborted.push(name);
  unit = new SscUnit({ identity: defaultTapeIdentity("UND0000001"), port, abortTasksOf });
  [a, b, c] = [new Host(unit, 1), new Host(unit, 2), new Host(unit, 3)];
});

describe("PERSISTENT RESERVE OUT: registrations (SPC-5 §5.14.7, §6.17)", () => {
  test("REGISTER: a key, another key, none; PRGENERATION counts each", () => {
    expect(a.out(pr.REGISTER, 0, 1)).toBe(GOOD);
    expect(b.out(pr.REGISTER, 0, 2)).toBe(GOOD);
    expect([keys(a), generation(a)]).toEqual([[1, 2], 2]);
    expect(a.out(pr.REGISTER, 9, 3)).toBe(CONFLICT);
    expect(c.out(pr.REGISTER, 9, 3)).toBe(CONFLICT);
    expect(a.out(pr.REGISTER, 1, 3)).toBe(GOOD);
    expect(c.out(pr.REGISTER, 0, 0)).toBe(GOOD);
    expect([keys(a), generation(a)]).toEqual([[3, 2], 3]);
    expect(a.out(pr.REGISTER, 3, 0)).toBe(GOOD);
    expect([keys(a), generation(a)]).toEqual([[2], 4]);
    expect(a.out(pr.REGISTER_AND_IGNORE, 77, 5)).toBe(GOOD);
    expect(b.out(pr.REGISTER_AND_IGNORE, 77, 6)).toBe(GOOD);
    expect(b.out(pr.REGISTER_AND_IGNORE, 77, 0)).toBe(GOOD);
    expect([keys(a), generation(a)]).toEqual([[5], 7]);
  });

  test("§6.17.2: what is not offered is refused: APTPL, SPEC_I_PT, ALL_TG_PT, other lengths, scopes, types, actions", () => {
    const code = ({ sense }: Answer) => [sense?.key, sense?.asc, sense?.ascq];
    for (const bit of [0, 2, 3]) {
      const { sense } = a.outAnswer(pr.REGISTER, 0, 1, 0, 1 << bit);
      expect(sense).toMatchObject({ asc: 0x26, fieldPointer: { inCdb: false, byte: 20, bit } });
    }
    expect(code(a.outAnswer(pr.REGISTER, 0, 1, 0, 0, 23))).toEqual([5, 0x1a, 0]);
    expect(code(a.outAnswer(7, 0, 1))).toEqual([5, 0x24, 0]);
    a.out(pr.REGISTER, 0, 1);
    for (const type of [0, 2, 4, 9, 0x11]) {
      expect(code(a.outAnswer(pr.RESERVE, 1, 0, type))).toEqual([5, 0x24, 0]);
    }
    for (const action of [4, 5, 31]) {
      expect(code(a.initiator.run([0x5e, action, 0, 0, 0, 0, 0, 0, 8, 0]))).toEqual([5, 0x24, 0]);
    }
    for (let id = 10; id < 137; id++) new Host(unit, id).out(pr.REGISTER, 0, 4);
    expect(code(b.outAnswer(pr.REGISTER, 0, 2))).toEqual([5, 0x55, 4]);
    expect(a.in(pr.READ_FULL_STATUS, 65535).length).toBeGreaterThan(128 * 44);
  });

  test("they outlive the nexus and a reset, not a loss of power", () => {
    a.out(pr.REGISTER, 0, 1);
    a.out(pr.RESERVE, 1, 0, 1);
    unit.nexusLost(1);
    unit.reset("lun");
    unit.reset("target");
    b.initiator.settle();
    expect([keys(b), reservation(b), b.write()]).toEqual([[1], [1, 1], CONFLICT]);
    const back = new Host(unit, 1);
    expect(back.write()).toBe(GOOD);
    unit.reset("powerOn");
    b.initiator.settle();
    expect([keys(b), reservation(b), generation(b)]).toEqual([[], null, 0]);
  });
});

describe("reservations (SPC-5 §5.14.1)", () => {
  test.each(TYPES)("type %d: who may write, who may move the tape", (type) => {
    a.out(pr.REGISTER, 0, 1);
    b.out(pr.REGISTER, 0, 2);
    expect(c.out(pr.RESERVE, 0, 0, type)).toBe(CONFLICT);
    expect(a.out(pr.RESERVE, 2, 0, type)).toBe(CONFLICT);
    expect(a.out(pr.RESERVE, 1, 0, type)).toBe(GOOD);
    expect(a.out(pr.RESERVE, 1, 0, type)).toBe(GOOD);
    expect(a.out(pr.RESERVE, 1, 0, type === 1 ? 3 : 1)).toBe(CONFLICT);
    const all = type >= 7;
    expect(b.out(pr.RESERVE, 2, 0, type)).toBe(all ? GOOD : CONFLICT);
    expect(reservation(c)).toEqual([all ? 0 : 1, type]);
    const registrants = type >= 5 ? GOOD : CONFLICT;
    const reading = type === 1 || type === 5 || type === 7 ? GOOD : CONFLICT;
    expect([a.write(), b.write(), c.write()]).toEqual([GOOD, registrants, CONFLICT]);
    expect([a.move(), b.move(), c.move()]).toEqual([GOOD, type >= 5 ? GOOD : reading, reading]);
    const run = (cdb: number[]) => c.initiator.run(cdb).status;
    // INQUIRY, TEST UNIT READY, LOG SENSE, READ BLOCK LIMITS, allowing removal: always.
    const open = [
      [0x12, 0, 0, 0, 36, 0],
      [0, 0, 0, 0, 0, 0],
      [0x4d, 0, 0x40, 0, 0, 0, 0, 0, 64, 0],
      [5],
      [0x1e],
    ];
    expect(open.map(run)).toEqual(open.map(() => GOOD));
    // MODE SENSE, READ, REWIND, READ POSITION: beside a write exclusive one; blank check is not the question here.
    for (const cdb of [[0x1a, 0, 0x3f, 0, 255], [1], [0x34]]) expect(run(cdb)).toBe(reading);
    // ERASE, WRITE FILEMARKS, LOAD UNLOAD, MODE SELECT, preventing removal: never.
    const closed = [[0x19], [0x10, 0, 0, 0, 1, 0], [0x1b], [0x15, 0x10, 0, 0, 12, 0], [0x1e, 0, 0, 0, 1, 0]];
    expect(closed.map(run)).toEqual(closed.map(() => CONFLICT));
  });

  test.each(TYPES)("§5.14.11.2.2: type %d: RELEASE, and the holder that unregisters", (type) => {
    const shared = type >= 5;
    a.out(pr.REGISTER, 0, 1);
    b.out(pr.REGISTER, 0, 2);
    expect(a.out(pr.RELEASE, 1, 0, type)).toBe(GOOD);
    a.out(pr.RESERVE, 1, 0, type);
    expect(a.outAnswer(pr.RELEASE, 1, 0, type === 1 ? 3 : 1).sense).toMatchObject({ asc: 0x26, ascq: 4 });
    if (type < 7) expect(b.out(pr.RELEASE, 2, 0, type)).toBe(GOOD);
    expect(reservation(c)).not.toBeNull();
    const before = generation(c);
    expect(a.out(pr.RELEASE, 1, 0, type)).toBe(GOOD);
    expect([reservation(c), generation(c) - before]).toEqual([null, 0]);
    expect([a.attention(), b.attention(), c.attention()]).toEqual(["", shared ? "2a/04" : "", ""]);
    a.out(pr.RESERVE, 1, 0, type);
    expect(a.out(pr.REGISTER, 1, 0)).toBe(GOOD);
    if (type >= 7) {
      expect([reservation(c), b.attention()]).toEqual([[0, type], ""]);
      expect(b.out(pr.REGISTER, 2, 0)).toBe(GOOD);
      expect(reservation(c)).toBeNull();
    } else {
      expect([reservation(c), b.attention()]).toEqual([null, shared ? "2a/04" : ""]);
    }
  });

  test("CLEAR: nobody is registered any more, the others are told (2Ah/03h)", () => {
    for (const [host, key] of [
      [a, 1],
      [b, 2],
    ] as const)
      host.out(pr.REGISTER, 0, key);
    a.out(pr.RESERVE, 1, 0, 3);
    expect(b.out(pr.CLEAR, 1)).toBe(CONFLICT);
    expect(b.out(pr.CLEAR, 2)).toBe(GOOD);
    expect([keys(c), reservation(c), generation(c)]).toEqual([[], null, 3]);
    expect([a.attention(), b.attention(), c.attention()]).toEqual(["2a/03", "", ""]);
  });

  test("§5.14.11.2.5: PREEMPT takes the reservation over; removes registrations; tells who lost what", () => {
    for (const [host, key] of [
      [a, 1],
      [b, 2],
      [c, 3],
    ] as const)
      host.out(pr.REGISTER, 0, key);
    a.out(pr.RESERVE, 1, 0, 5);
    expect(b.out(pr.PREEMPT, 2, 9, 6)).toBe(CONFLICT);
    expect(b.outAnswer(pr.PREEMPT, 2, 0, 6).sense).toMatchObject({ asc: 0x26, ascq: 0 });
    expect(b.out(pr.PREEMPT, 2, 1, 6)).toBe(GOOD);
    expect([keys(b), reservation(b), generation(b)]).toEqual([[2, 3], [2, 6], 4]);
    expect([a.attention(), b.attention(), c.attention()]).toEqual(["2a/05", "", "2a/04"]);
    // A key that holds nothing: its registrations go, the reservation stays.
    expect(b.out(pr.PREEMPT, 2, 3, 1)).toBe(GOOD);
    expect([keys(b), reservation(b), c.attention()]).toEqual([[2], [2, 6], "2a/05"]);
    expect(aborted).toEqual([]);
  });

  test("§5.14.11.2.6: PREEMPT AND ABORT ends what the preempted one has open", () => {
    a.out(pr.REGISTER, 0, 1);
    b.out(pr.REGISTER, 0, 2);
    a.out(pr.RESERVE, 1, 0, 1);
    expect(b.out(pr.PREEMPT_AND_ABORT, 2, 1, 1)).toBe(GOOD);
    expect([aborted, keys(b), reservation(b)]).toEqual([[a.portName], [2], [2, 1]]);
  });

  test("all registrants: key 0 preempts them all, another key only removes its registrations", () => {
    for (const [host, key] of [
      [a, 1],
      [b, 2],
      [c, 3],
    ] as const)
      host.out(pr.REGISTER, 0, key);
    a.out(pr.RESERVE, 1, 0, 8);
    expect(b.out(pr.PREEMPT, 2, 1, 3)).toBe(GOOD);
    expect([keys(b), reservation(b), a.attention(), c.attention()]).toEqual([[2, 3], [0, 8], "2a/05", ""]);
    expect(b.out(pr.PREEMPT, 2, 0, 3)).toBe(GOOD);
    expect([keys(b), reservation(b), c.attention()]).toEqual([[2], [2, 3], "2a/05"]);
  });
});

describe("PERSISTENT RESERVE IN (SPC-5 §6.16)", () => {
  test("REPORT CAPABILITIES: all six types, nothing kept over a loss of power", () => {
    expect([...a.in(pr.REPORT_CAPABILITIES)]).toEqual([0, 8, 0, 0x80, 0xea, 0x01, 0, 0]);
  });

  test("READ FULL STATUS: each registration with its key, holder and iSCSI TransportID; cut to the allocation length", () => {
    a.out(pr.REGISTER, 0, 1);
    b.out(pr.REGISTER, 0, 2);
    a.out(pr.RESERVE, 1, 0, 3);
    const data = a.in(pr.READ_FULL_STATUS);
    expect([u32(data, 0), u32(data, 4)]).toEqual([2, data.length - 8]);
    const found: unknown[] = [];
    for (let at = 8; at < data.length; at += 24 + u32(data, at + 20)) {
      const name = Buffer.from(data.subarray(at + 28, at + 28 + u16(data, at + 26)))
        .toString()
        .replace(/\0+$/, "");
      found.push([data[at + 7], data[at + 12], data[at + 13], u16(data, at + 18), data[at + 24], name]);
    }
    expect(found).toEqual([
      [1, 1, 3, 1, 0x45, a.portName],
      [2, 0, 0, 1, 0x45, b.portName],
    ]);
    expect(a.in(pr.READ_FULL_STATUS, 20)).toEqual(data.subarray(0, 20));
    expect(a.in(pr.READ_KEYS, 0).length).toBe(0);
  });
});

test("SPC-3 §5.6.3: RESERVE(6) and persistent reservations keep each other out", () => {
  expect(a.initiator.run([0x16]).status).toBe(GOOD);
  for (const host of [a, b]) {
    expect(host.out(pr.REGISTER, 0, 1)).toBe(CONFLICT);
    expect(host.initiator.run([0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0]).status).toBe(CONFLICT);
  }
  expect(a.initiator.run([0x17]).status).toBe(GOOD);
  expect(a.out(pr.REGISTER, 0, 1)).toBe(GOOD);
  for (const opcode of [0x16, 0x17, 0x56, 0x57]) {
    expect(a.initiator.run([opcode]).status).toBe(CONFLICT);
    expect(b.initiator.run([opcode]).status).toBe(CONFLICT);
  }
});

test("RED-24: registrations and reservation travel in a handover", () => {
  a.out(pr.REGISTER, 0, 1);
  b.out(pr.REGISTER, 0, 2);
  a.out(pr.RESERVE, 1, 0, 6);
  const state: SscState = JSON.parse(JSON.stringify(unit.exportState()));
  const next = new SscUnit({ identity: defaultTapeIdentity("UND0000001"), port: new FakeTapePort(), state });
  const [there, other] = [new Host(next, 1), new Host(next, 4)];
  expect([keys(there), reservation(there), generation(there)]).toEqual([[1, 2], [1, 6], 2]);
  expect([there.write(), other.write()]).toEqual([GOOD, CONFLICT]);
});

test("a changer has them too: MOVE MEDIUM conflicts, READ ELEMENT STATUS does not", () => {
  const changer = new SmcUnit({ identity: defaultChangerIdentity("UNDLIB"), port: new FakeChangerPort() });
  const [holder, other] = [new Host(changer, 1), new Host(changer, 2)];
  holder.out(pr.REGISTER, 0, 1);
  expect(holder.out(pr.RESERVE, 1, 0, 1)).toBe(GOOD);
  const move = [0xa5, 0, 0, 1, 3, 232, 1, 0, 0, 0, 0, 0];
  expect(other.initiator.run(move).status).toBe(CONFLICT);
  expect(holder.initiator.run(move).status).toBe(GOOD);
  expect(other.initiator.run([0xb8, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0]).status).toBe(GOOD);
  expect(changer.exportState().persistent?.type).toBe(1);
});
