/** @module Data lengths against the whole way from the socket to the ring: what a command says, what its initiator says, what comes
 *  by immediate, unsolicited and solicited data, and what is asked for back, all of them at odds with each other. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { BenchTop } from "../../src/director/tee/bench-top.fixture.ts";
import { digestsOf, NO_DIGESTS, openCrc32c } from "../../src/iscsi/digest.ts";
import { defaultParameters } from "../../src/iscsi/keys.ts";
import * as pdu from "../../src/iscsi/pdu.ts";
import { Target } from "../../src/target/front-loop.ts";
import { type Received, TARGET, TestClient } from "../../src/target/testing/client.ts";
import * as at from "../../wasm/ring/layout.ts";

const SEED = 20260103;
/** Three of twenty of all inputs (FUZZ_INPUTS, default 100 000), 5000 at least, are commands with data. */
const COMMANDS = Math.max(5000, Math.floor(Number(process.env.FUZZ_INPUTS ?? 100_000) * 0.15));
/** Blocks on the tape before it is read back and written anew. */
const BLOCKS_A_ROUND = 40;
const GUARD_BYTES = 65536;
const GUARD = 0xa5;
const GOOD = 0;
const ANSWER_WITHIN_MS = 10_000;

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const crc = openCrc32c();
const DIGESTS = digestsOf(
  { ...defaultParameters(), headerDigest: "CRC32C", dataDigest: "CRC32C" },
  () => crc,
);

let top: BenchTop;
let target: Target;
let client: TestClient;

beforeEach(() => {
  top = new BenchTop();
  target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units: new Map([[0, top.unit]]) });
  connect(false);
});

afterEach(() => {
  client.close();
  target.stop();
  top.close();
});

function connect(withDigests: boolean): void {
  const digest = withDigests ? "CRC32C" : "None";
  client = new TestClient(target);
  client.login({
    keys: [
      ["InitialR2T", "No"],
      ["MaxRecvDataSegmentLength", "8192"],
      ["MaxBurstLength", "16384"],
      ["FirstBurstLength", "8192"],
      ["HeaderDigest", digest],
      ["DataDigest", digest],
    ],
  });
  client.digests = withDigests ? DIGESTS : NO_DIGESTS;
}

/** As BenchTop's own blocks. */
function pattern(seed: number, from: number, bytes: number): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) data[i] = (seed * 31 + (from + i) * 7) & 255;
  return data;
}

function settle(): void {
  top.runDrive();
  top.runCache();
  top.runDrive();
}

/** Until the answer of this command; null: the connection is gone. `onR2T` answers as it likes. */
function answerTo(
  itt: number,
  onR2T: (r2t: Received) => void,
  onData?: (part: Received) => void,
): Received | null {
  const until = performance.now() + ANSWER_WITHIN_MS;
  while (performance.now() < until) {
    const received = client.poll();
    if (received === null) return null;
    if (received === undefined) {
      settle();
    } else if (received.opcode === pdu.OP_R2T) onR2T(received);
    else if (received.opcode === pdu.OP_REJECT) return received;
    else if (received.field(pdu.AT_ITT) === itt) {
      if (received.opcode !== pdu.OP_DATA_IN) return received;
      onData?.(received);
      if ((received.flags & pdu.FLAG_STATUS) !== 0) return received;
    }
  }
  throw new Error("a command without an answer");
}

test(`RED-02: ${COMMANDS} commands with data lengths at odds, seed ${SEED}: every block that was GOOD is on tape as sent, nothing lies outside of the ring`, () => {
  const random = randomOf(SEED);
  const { bytes: memory } = top.device.shared;
  const guard = memory.subarray(at.RING - GUARD_BYTES, at.RING).fill(GUARD);
  const lengthOf = () => [random(16), random(600), random(9000), random(40_000)][random(4)] ?? 0;
  /** Blocks on tape: seed and length. */
  let blocks: { seed: number; bytes: number }[] = [];
  let seed = 0;
  let good = 0;
  let lost = 0;
  let readBlocks = 0;

  const write = (): void => {
    seed = (seed + 1) & 255;
    const length = lengthOf();
    const expected = random(3) > 0 ? length : random(4) === 0 ? 0 : lengthOf();
    const immediate = Math.min(random(60) === 0 ? lengthOf() : random(1 + Math.min(length, expected)), 8192);
    const unsolicited = random(5) === 0;
    const cdb = [0x0a, 0, length >>> 16, (length >>> 8) & 255, length & 255, 0];
    const data = pattern(seed, 0, immediate);
    if (random(300) === 0) client.breaks = "data";
    const itt = client.command(cdb, "write", expected, { immediateData: data, final: !unsolicited });
    if (unsolicited) {
      const more = Math.min(
        random(15) > 0 ? Math.max(0, expected - immediate) : random(5000),
        8192 - immediate,
      );
      if (more >= 0) client.dataOut(itt, pdu.TAG_NONE, 0, immediate, pattern(seed, immediate, more), true);
    }
    const answer = answerTo(itt, (r2t) => {
      const from = r2t.field(pdu.AT_R2T_OFFSET);
      const asked = r2t.field(pdu.AT_R2T_BYTES);
      const ttt = random(200) === 0 ? random(65536) : r2t.field(pdu.AT_TTT);
      for (let done = 0, sn = 0; done < asked; ) {
        const part = Math.min(1 + random(9000), asked - done);
        const bytes = random(60) === 0 ? random(9000) : part;
        done += part;
        if (random(300) === 0) client.breaks = "data";
        client.dataOut(
          itt,
          ttt,
          sn++,
          from + done - part,
          pattern(seed, from + done - part, bytes),
          done === asked,
        );
      }
    });
    if (answer === null || answer.opcode === pdu.OP_REJECT) {
      // What became of it is not known: this round is over.
      lost++;
      client.close();
      target.pollOnce(0);
      settle();
      connect(random(2) === 0);
      blocks = [];
      rewind();
    } else if (answer.status === GOOD) {
      const bytes = Math.min(length, expected);
      if (bytes > 0) blocks.push({ seed, bytes });
      good++;
    }
  };

  const rewind = (): void => {
    const itt = client.command([1, 0, 0, 0, 0, 0], "none", 0);
    const answer = answerTo(itt, () => {});
    // Attentions of a new nexus come first.
    if (answer?.status !== GOOD) rewind();
  };

  const readBack = (): void => {
    rewind();
    for (const block of blocks) {
      const asked = random(3) > 0 ? block.bytes : 1 + lengthOf();
      const expected = random(3) > 0 ? asked : lengthOf();
      let got = 0;
      const cdb = [0x08, 2, asked >>> 16, (asked >>> 8) & 255, asked & 255, 0];
      const itt = client.command(cdb, "read", expected);
      const answer = answerTo(
        itt,
        () => {},
        (part) => {
          const due = pattern(block.seed, got, part.data.length);
          if (Buffer.compare(due, part.data) !== 0)
            throw new Error(`block ${block.seed} of ${block.bytes} bytes differs`);
          got += part.data.length;
        },
      );
      readBlocks++;
      expect([answer?.status, got]).toEqual([GOOD, Math.min(asked, expected, block.bytes)]);
    }
    rewind();
    blocks = [];
  };

  for (let sent = 0; sent < COMMANDS; sent++) {
    write();
    if (random(20) === 0) settle();
    if (blocks.length < BLOCKS_A_ROUND) continue;
    readBack();
    sent += BLOCKS_A_ROUND;
  }
  readBack();
  expect(good).toBeGreaterThan(COMMANDS / 8);
  expect(lost).toBeGreaterThan(0);
  expect(readBlocks).toBeGreaterThan(COMMANDS / 8);
  expect(target.stats.digestErrors).toBeGreaterThan(0);
  expect(guard.every((byte) => byte === GUARD)).toBe(true);
}, 600_000);
