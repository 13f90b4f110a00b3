import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { digestsOf, NO_DIGESTS, openCrc32c } from "../iscsi/digest.ts";
import { defaultParameters } from "../iscsi/keys.ts";
import * as pdu from "../iscsi/pdu.ts";
import * as requests from "../iscsi/requests.ts";
import { formatText } from "../iscsi/text.ts";
import { Target } from "./front-loop.ts";
import { INITIATOR, type Received, TARGET, TestClient } from "./testing/client.ts";
import { FakeUnit, HANG, READ, TEST_UNIT_READY, WRITE } from "./testing/fake-unit.ts";

const SEED = 20260101;
/** FUZZ_INPUTS: how many inputs all fuzz tests together take (default 100 000); half of them, 20 000 at least, are PDUs. */
const PDUS = Math.max(20_000, Math.floor(Number(process.env.FUZZ_INPUTS ?? 100_000) / 2));
/** The unit writes between these two offsets of its memory only. */
const PLACES_FROM = 1 << 20;
const PLACES_TO = 25 << 20;

/** What a garbage collector may keep; a task or a region a connection would be far more. */
const GROWTH_BYTES_MAX = 128 << 20;

function residentBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().rss;
}

const crc = openCrc32c();
const digests = digestsOf(
  { ...defaultParameters(), headerDigest: "CRC32C", dataDigest: "CRC32C" },
  () => crc,
);

/** The PDU with its digests, which are seldom wrong. */
function digested(pdu: Uint8Array, random: (below: number) => number): Uint8Array {
  if (pdu.length < 48) return pdu;
  const data = pdu.length - 48;
  const bytes = new Uint8Array(new ArrayBuffer(pdu.length + (data > 0 ? 8 : 4)));
  bytes.set(pdu.subarray(0, 48));
  bytes.set(pdu.subarray(48), 52);
  const view = new DataView(bytes.buffer);
  const address = Number(ptr(bytes));
  const wrong = () => (random(100) === 0 ? 1 << random(31) : 0);
  view.setUint32(48, (crc.update(0, address, 48) ^ wrong()) >>> 0, true);
  if (data > 0) view.setUint32(52 + data, (crc.update(0, address + 52, data) ^ wrong()) >>> 0, true);
  return bytes;
}

/** xorshift32: the same run for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const login = formatText([
  ["InitiatorName", INITIATOR],
  ["TargetName", TARGET],
  ["InitialR2T", "No"],
]);

/** A request that is right but for `random`'s touch; returns header and data. */
function request(client: TestClient, random: (below: number) => number): Uint8Array {
  const bytes = new Uint8Array(48 + 4096);
  const view = new DataView(bytes.buffer);
  let data = 0;
  const itt = random(40);
  const cmdSN = client.cmdSN;
  switch (random(10)) {
    case 0:
    case 1:
    case 2: {
      const operation = [WRITE, WRITE, READ, HANG, TEST_UNIT_READY, 0x1e][random(6)] ?? 0;
      const isWrite = operation === WRITE;
      data = isWrite ? random(4) * random(1024) : 0;
      const flags = (random(3) > 0 ? 0x80 : 0) | (isWrite ? 0x20 : operation === READ ? 0x40 : 0);
      const cdb = Uint8Array.of(operation, 0, 0, random(256), random(256), 0);
      requests.encodeScsiCommand(
        view,
        0,
        flags,
        random(3),
        itt + 40 * random(50),
        random(70_000),
        cmdSN,
        0,
        cdb,
        data,
      );
      client.cmdSN++;
      break;
    }
    case 3:
    case 4:
      data = random(4096);
      requests.encodeDataOut(
        view,
        0,
        random(2) > 0,
        0,
        itt,
        random(2) > 0 ? pdu.TAG_NONE : random(512),
        0,
        0,
        0,
        data,
      );
      break;
    case 5:
      data = random(2000);
      requests.encodeNopOut(
        view,
        0,
        true,
        0,
        random(9) > 0 ? itt : pdu.TAG_NONE,
        pdu.TAG_NONE,
        cmdSN,
        0,
        data,
      );
      break;
    case 6:
      requests.encodeTaskManagement(view, 0, true, random(7), random(3), itt, random(40), 0, cmdSN, 0);
      break;
    case 7:
      data = random(600);
      requests.encodeText(view, 0, true, random(2) > 0, random(2) > 0, itt, pdu.TAG_NONE, cmdSN, 0, data);
      break;
    case 8:
      requests.encodeSnack(view, 0, random(4), 0, itt, 0, 0, 0, 0);
      break;
    default:
      data = login.length;
      bytes.set(login, 48);
      requests.encodeLogin(
        view,
        0,
        true,
        false,
        random(4),
        random(4),
        0x00023d00,
        random(3),
        0,
        itt,
        0,
        cmdSN,
        0,
        data,
      );
  }
  const end = 48 + data + pdu.padBytes(data);
  // Some are spoilt: bytes of the header, seldom its lengths, or the whole of it.
  if (random(10) === 0) for (let count = random(4); count >= 0; count--) bytes[8 + random(40)] = random(256);
  if (random(200) === 0) bytes[random(8)] = random(256);
  if (random(200) === 0) for (let at = 0; at < 48; at++) bytes[at] = random(256);
  return bytes.subarray(0, random(1000) === 0 ? random(end) : end);
}

function answerR2T(client: TestClient, r2t: Received): void {
  const data = new Uint8Array(r2t.field(pdu.AT_R2T_BYTES));
  client.dataOut(r2t.field(pdu.AT_ITT), r2t.field(pdu.AT_TTT), 0, r2t.field(pdu.AT_R2T_OFFSET), data, true);
}

test(`RED-01: ${PDUS} random and spoilt PDUs, seed ${SEED}: nothing is thrown, nothing hangs, no task is lost`, () => {
  const random = randomOf(SEED);
  const unit = new FakeUnit();
  const target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units: new Map([[0, unit]]) });
  const descriptors = () => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  let client = new TestClient(target);
  let connections = 1;
  let sent = 0;
  let fresh = true;
  let rssAfterWarmUp = 0;
  for (; sent < PDUS; sent++) {
    if (sent === PDUS >>> 2) rssAfterWarmUp = residentBytes();
    if (fresh && random(10) > 0) {
      const asks = random(3) === 0;
      const value = asks ? "CRC32C" : "None";
      client.login({
        isid: random(3),
        keys: [
          ["InitialR2T", "No"],
          ["HeaderDigest", value],
          ["DataDigest", value],
        ],
      });
      client.digests = asks ? digests : NO_DIGESTS;
    }
    fresh = false;
    unit.placeAtOnce = random(3) > 0;
    const bytes = request(client, random);
    const alive = client.sendBytes(client.digests.crc === null ? bytes : digested(bytes, random));
    if (random(4) === 0) unit.placeAll();
    if (random(8) === 0) for (const task of unit.unfinished.splice(0)) task.complete(0);
    let received = alive ? client.poll() : null;
    for (let count = 0; received && count < 100; count++) {
      if (received.opcode === pdu.OP_R2T && random(50) > 0) answerR2T(client, received);
      received = client.poll();
    }
    if (received !== null && random(150) > 0) continue;
    client.close();
    target.pollOnce(0);
    client = new TestClient(target);
    client.cmdSN = random(2) > 0 ? 0xfffffff0 : random(1000);
    connections++;
    fresh = true;
  }
  client.close();
  unit.placeAll();
  for (const task of unit.unfinished.splice(0)) task.complete(0);
  for (let turn = 0; turn < 10; turn++) target.pollOnce(1);
  expect(connections).toBeGreaterThan(100);
  expect(target.sessions()).toEqual([]);
  expect(residentBytes() - rssAfterWarmUp).toBeLessThan(GROWTH_BYTES_MAX);
  expect(descriptors()).toBeLessThan(before + 2);
  expect(target.stats.digestErrors).toBeGreaterThan(10);
  const untouched = [unit.memory.bytes.subarray(0, PLACES_FROM), unit.memory.bytes.subarray(PLACES_TO)];
  for (const part of untouched) expect(part.some((byte) => byte !== 0)).toBe(false);
  target.stop();
  expect(target.stopped).toBe(true);
  expect(unit.written.length).toBeGreaterThan(100);
}, 300_000);
