/** @module Our initiator against an implementation of others: CHAP both ways and digests, at tgtd. */
import { ptr } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { CommandReply } from "../../src/base/command-reply.ts";
import { Initiator, type InitiatorOptions } from "../../src/iscsi/initiator.ts";
import { freePort, startTgtd, type Tgtd, tgtdObstacle } from "./tgtd.ts";

const TIMEOUT_MS = 30_000;
const obstacle = tgtdObstacle();
const bytes = (text: string) => new TextEncoder().encode(text);
const host = { user: "host", secret: bytes("correcthorsebattery") };
const library = { user: "library", secret: bytes("stapleandthensome") };

async function withTgtd(body: (tgtd: Tgtd, where: InitiatorOptions) => Promise<void>): Promise<void> {
  const tgtd = await startTgtd({ port: freePort(), cartridges: 1, cartridgeMegabytes: 10 });
  try {
    const { port, target: targetName } = tgtd;
    const initiatorName = "iqn.2026-01.org.understudy:drives";
    await body(tgtd, { host: "127.0.0.1", port, targetName, initiatorName, timeoutMs: 5000 });
  } finally {
    await tgtd.stop();
  }
}

/** INQUIRY and MODE SELECT(6): data both ways. */
function works(session: Initiator): boolean {
  const page = new Uint8Array(new ArrayBuffer(64));
  const reply = new CommandReply();
  const inquiry = Uint8Array.of(0x12, 0, 0, 0, 64, 0);
  session.execute(1, inquiry, "in", ptr(page), 64, 5000, reply);
  const read = reply.reached && reply.status === 0;
  const list = new Uint8Array(new ArrayBuffer(12));
  list[2] = 0x10;
  list[3] = 8;
  const select = Uint8Array.of(0x15, 0x10, 0, 0, 12, 0);
  // The first command meets the power-on attention; the second one moves data.
  for (let turn = 0; turn < 2; turn++) session.execute(1, select, "out", ptr(list), 12, 5000, reply);
  return (
    read && reply.reached && reply.status === 0 && Buffer.from(page.subarray(8, 11)).toString() === "IBM"
  );
}

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? "tgtd as the target" : `tgtd as the target (skipped: ${obstacle})`,
  () => {
    test(
      "RED-01: CHAP, one-way and mutual; a wrong secret, and a target that proves nothing, are refused",
      () =>
        withTgtd(async (tgtd, where) => {
          const account = (op: string, ...rest: string[]) =>
            tgtd.admin(["--mode", "account", "--op", op, ...rest]);
          await account("new", "--user", "host", "--password", "correcthorsebattery");
          await account("bind", "--tid", "1", "--user", "host");
          await account("new", "--user", "library", "--password", "stapleandthensome");
          await account("bind", "--tid", "1", "--user", "library", "--outgoing");
          for (const chap of [host, { ...host, mutual: library }]) {
            const session = Initiator.connect({ ...where, chap });
            expect(works(session)).toBe(true);
            session.close();
          }
          const refused = [
            {},
            { chap: { ...host, secret: library.secret } },
            { chap: { ...host, mutual: { ...library, secret: bytes("not what it should be") } } },
          ];
          for (const wish of refused)
            expect(() => Initiator.connect({ ...where, ...wish })).toThrow("refused");
        }),
      TIMEOUT_MS,
    );

    test(
      "RED-01: header and data digests",
      () =>
        withTgtd(async (tgtd, where) => {
          for (const name of ["HeaderDigest", "DataDigest"]) {
            const wish = ["--op", "update", "--tid", "1", "--name", name, "--value", "CRC32C"];
            await tgtd.admin(["--mode", "target", ...wish]);
          }
          const session = Initiator.connect({ ...where, terms: { digests: ["CRC32C"] } });
          expect(session.parameters).toMatchObject({ headerDigest: "CRC32C", dataDigest: "CRC32C" });
          expect(works(session)).toBe(true);
          session.close();
        }),
      TIMEOUT_MS,
    );
  },
);
