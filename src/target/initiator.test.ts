import { ptr } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { CommandReply } from "../base/command-reply.ts";
import type { ChapAccess } from "../iscsi/chap.ts";
import { Initiator } from "../iscsi/initiator.ts";
import { INITIATOR, TARGET } from "./testing/client.ts";
import { equal, pattern } from "./testing/started.ts";
import type { TargetOrder } from "./testing/target-worker.ts";

let worker: Worker | undefined;
let initiator: Initiator | undefined;

afterEach(() => {
  initiator?.close();
  initiator = undefined;
  worker?.terminate();
  worker = undefined;
});

async function startTarget(chap: ChapAccess | null) {
  const thread = new Worker(new URL("./testing/target-worker.ts", import.meta.url).href);
  worker = thread;
  const order: TargetOrder = { chap };
  const port = await new Promise<number>((resolve) => {
    thread.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
    thread.postMessage(order);
  });
  return { host: "127.0.0.1", port, initiatorName: INITIATOR, timeoutMs: 5000 };
}

/** Writes and reads back on the disk. */
function roundTrip(session: Initiator, blocks: number): boolean {
  const bytes = blocks * 512;
  const out = new Uint8Array(new ArrayBuffer(bytes));
  out.set(pattern(bytes, blocks));
  const back = new Uint8Array(new ArrayBuffer(bytes));
  const reply = new CommandReply();
  const cdb = (operation: number) =>
    Uint8Array.of(operation, 0, 0, 0, 0, 0, 0, blocks >>> 8, blocks & 255, 0);
  session.execute(0, cdb(0x2a), "out", ptr(out), bytes, 5000, reply);
  if (reply.status !== 0 || session.cause !== "") throw new Error(`${reply.status} ${session.cause}`);
  session.execute(0, cdb(0x28), "in", ptr(back), bytes, 5000, reply);
  return reply.status === 0 && equal(out, back);
}

const bytes = (text: string) => new TextEncoder().encode(text);
const host = { user: "host", secret: bytes("correct horse battery") };
const library = { user: "library", secret: bytes("staple and then some") };

describe("our initiator at our target", () => {
  test("RED-01: header and data digests, from one block to more than a burst", async () => {
    const where = await startTarget(null);
    for (const digests of [["CRC32C"], ["CRC32C", "None"], ["None"]] as const) {
      initiator = Initiator.connect({ ...where, terms: { digests } });
      expect(initiator.targetName).toBe(TARGET);
      const { headerDigest, dataDigest } = initiator.parameters;
      expect([headerDigest, dataDigest]).toEqual([digests[0], digests[0]]);
      for (const blocks of [1, 100, 3000, 40_000]) expect(roundTrip(initiator, blocks)).toBe(true);
      initiator.close();
    }
  });

  test("RED-01: CHAP, one-way and mutual, in discovery too; whoever cannot prove himself stays out", async () => {
    const access = { entries: [{ initiator: INITIATOR, ...host }], mutual: library };
    const where = await startTarget(access);
    for (const chap of [host, { ...host, mutual: library }]) {
      initiator = Initiator.connect({ ...where, chap });
      expect(roundTrip(initiator, 1)).toBe(true);
      initiator.close();
    }
    const attempts = [
      {},
      { chap: { ...host, secret: library.secret } },
      { chap: host, initiatorName: `${INITIATOR}2` },
      { chap: { ...host, mutual: { user: "library", secret: bytes("not what it should be") } } },
    ];
    const causes = attempts.map((attempt) => {
      try {
        Initiator.connect({ ...where, targetName: TARGET, ...attempt });
        return "let in";
      } catch (error) {
        return error instanceof Error ? error.message.replace(/^.*: login refused: /, "") : "?";
      }
    });
    expect(causes).toEqual([
      "authentication failure",
      "authentication failure",
      "authentication failure",
      "CHAP: the target did not prove who it is",
    ]);
  });
});
