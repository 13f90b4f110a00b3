import { expect, test } from "bun:test";
import { defaultChangerIdentity, defaultTapeIdentity } from "../inquiry.ts";
import { cdbBytes } from "../opcodes.ts";
import * as replies from "../replies.ts";
import { type CommandTable, changerCommands, tapeCommands } from "./commands.ts";
import { NoUnit } from "./no-unit.ts";
import type { LogicalUnit } from "./ports.ts";
import { SmcUnit } from "./smc.ts";
import { SscUnit } from "./ssc.ts";
import { TapePosition } from "./tape-position.ts";
import {
  PARAMETERS_BYTES,
  STATUS_CHECK_CONDITION,
  STATUS_GOOD,
  STATUS_RESERVATION_CONFLICT,
} from "./task.ts";
import { FakeChangerPort, FakeInitiator, FakeTapePort, nexus } from "./testing.ts";

const SEED = 0x5eed_0002;
/** FUZZ_INPUTS: how many inputs all fuzz tests together take (default 100 000); a fifth of them are CDBs, but never fewer
 *  than these. */
const COMMANDS = Math.max(100_000, Math.floor(Number(process.env.FUZZ_INPUTS ?? 100_000) / 5));

/** xorshift32: the same numbers each time. */
function randomizer(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Half of the CDBs are noise; the others have a known opcode, and few bits outside its usage map. */
function randomCdb(random: (below: number) => number, table: CommandTable, cdb: Uint8Array): void {
  for (let i = 0; i < 16; i++) cdb[i] = random(256);
  if (random(2) === 0) return;
  const { usage } = table.rows[random(table.rows.length)]!;
  cdb[0] = usage[0]!;
  for (let i = 1; i < 16; i++) {
    const mask = random(200) === 0 ? 0xff : i === usage.length - 1 ? 0 : (usage[i] ?? 0);
    cdb[i] = cdb[i]! & mask & (random(3) === 0 ? 0 : 0xff);
  }
}

/** Most data-in that a CDB allows; -1: what a port gives is for the owner to cut. */
function allocationBytes(cdb: Uint8Array, isTape: boolean): number {
  const field16 = (at: number): number => (cdb[at]! << 8) | cdb[at + 1]!;
  const field32 = (at: number): number => field16(at) * 65536 + field16(at + 2);
  switch (cdb[0]) {
    case 0x03:
    case 0x1a:
      return cdb[4]!;
    case 0x12:
      return field16(3);
    case 0x4d:
    case 0x5a:
    case 0x44:
    case 0x5e:
      return field16(7);
    case 0xa0:
    case 0xa3:
      return field32(6);
    case 0x8c:
      return field32(10);
    case 0xb8:
      return (cdb[7]! << 16) | field16(8);
    case 0x34:
      return isTape ? 32 : 0;
    case 0x05:
      return isTape ? 6 : 0;
    case 0x08:
      return -1;
    default:
      return 0;
  }
}

const subjects: {
  name: string;
  make: () => LogicalUnit;
  table: CommandTable;
  isTape: boolean;
  shake?: (n: number) => void;
}[] = [];

{
  const port = new FakeTapePort();
  subjects.push({
    name: "SscUnit",
    make: () => new SscUnit({ identity: defaultTapeIdentity("UND0000001"), port }),
    table: tapeCommands,
    isTape: true,
    shake: (n) => {
      port.medium.loaded = n % 5 !== 0;
      port.medium.present = n % 7 !== 0;
      port.medium.writeProtected = n % 3 === 0;
      if (port.objects.length > 2000) port.objects.length = port.at = 0;
    },
  });
  subjects.push({
    name: "SmcUnit",
    make: () => new SmcUnit({ identity: defaultChangerIdentity("UNDLIB0001"), port: new FakeChangerPort() }),
    table: changerCommands,
    isTape: false,
  });
}

for (const { name, make, table, isTape, shake } of subjects) {
  test(`SPC-5, SSC-5, SMC-3: ${COMMANDS} random CDBs (seed ${SEED.toString(16)}) against ${name}: each ends once, none throws, none gives too much`, () => {
    const random = randomizer(SEED);
    const unit = make();
    const hosts = [new FakeInitiator(unit, nexus(1)), new FakeInitiator(unit, nexus(2))];
    const cdb = new Uint8Array(16);
    const dataOut = new Uint8Array(512);
    let good = 0;
    for (let n = 0; n < COMMANDS; n++) {
      if (n % 64 === 0) shake?.(random(1000));
      if (n % 512 === 0) {
        const causes = ["lun", "target", "powerOn"] as const;
        if (random(2) === 0) unit.reset(causes[random(3)]!);
        else unit.nexusLost(1 + random(2));
      }
      randomCdb(random, table, cdb);
      for (let i = 0; i < 32; i++) dataOut[i] = random(4) === 0 ? random(256) : 0;
      const host = hosts[random(16) === 0 ? 1 : 0]!;
      const answer = host.run(cdb, dataOut);
      const shown = `command ${n}: ${Buffer.from(cdb).toString("hex")}`;
      if (answer.completions !== 1) throw new Error(`${shown}: completed ${answer.completions} times`);
      const most = allocationBytes(cdb, isTape);
      if (most >= 0 && answer.inBytes > Math.min(most, PARAMETERS_BYTES)) {
        throw new Error(`${shown}: ${answer.inBytes} bytes of data-in`);
      }
      if (answer.outBytes > 8 * 1048576) throw new Error(`${shown}: wants ${answer.outBytes} bytes`);
      if (answer.status === STATUS_GOOD) good++;
      else if (answer.status === STATUS_CHECK_CONDITION) {
        if (answer.sense === null) throw new Error(`${shown}: no sense`);
        const { key, fieldPointer } = answer.sense;
        if (key === 5 && fieldPointer?.inCdb === true && fieldPointer.byte >= (cdbBytes(cdb[0]!) || 16)) {
          throw new Error(`${shown}: field pointer beyond the CDB`);
        }
      } else if (answer.status !== STATUS_RESERVATION_CONFLICT)
        throw new Error(`${shown}: status ${answer.status}`);
    }
    expect(good).toBeGreaterThan(COMMANDS / 20);
  });
}

test("SAM-5: random CDBs at a LUN that is not there", () => {
  const random = randomizer(SEED);
  const host = new FakeInitiator(new NoUnit(() => [0, 1, 2]));
  const cdb = new Uint8Array(16);
  for (let n = 0; n < 20_000; n++) {
    randomCdb(random, tapeCommands, cdb);
    expect(host.run(cdb).completions).toBe(1);
  }
});

test("parsers take any reply, however short or wrong", () => {
  const random = randomizer(SEED);
  const position = new TapePosition();
  for (let n = 0; n < 20_000; n++) {
    const reply = new Uint8Array(random(120));
    for (let i = 0; i < reply.length; i++) reply[i] = random(3) === 0 ? random(256) : random(16);
    if (reply.length > 1 && random(2) === 0) reply[1] = [0x80, 0x83][random(2)]!;
    replies.parseSense(reply);
    replies.parseInquiry(reply);
    replies.parseVpd80(reply);
    replies.parseVpd83(reply);
    replies.parseLogPage(reply);
    replies.parseElementStatus(reply);
    replies.parseAttributes(reply);
    replies.parseReportLuns(reply);
    replies.parseElementAddresses(reply);
    replies.parseModeSense(random(2) === 0, reply);
    replies.parseReadPositionShort(reply, position);
    replies.parseReadPositionLong(reply, position);
    replies.parseReadPositionExtended(reply, position);
  }
});
