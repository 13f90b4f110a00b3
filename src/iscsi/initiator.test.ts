import { ptr } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { CommandReply } from "../base/command-reply.ts";
import { Initiator, InitiatorError } from "./initiator.ts";
import { TMF_ABORT_TASK, TMF_COMPLETE } from "./pdu.ts";
import { dataByte } from "./testing/scripts.ts";

const TIMEOUT_MS = 5000;
const GUARD = 0xee;
const CDB = Uint8Array.of(0, 0, 0, 0, 0, 0);

let worker: Worker | undefined;
let session: Initiator | undefined;

afterEach(() => {
  session?.close();
  session = undefined;
  worker?.terminate();
  worker = undefined;
});

function ask<Answer>(message: string): Promise<Answer> {
  const target = worker;
  if (target === undefined) throw new Error("no fake target");
  return new Promise((resolve) => {
    target.onmessage = ({ data }: MessageEvent<Answer>) => resolve(data);
    target.postMessage(message);
  });
}

async function options(script: string, timeoutMs = TIMEOUT_MS) {
  worker = new Worker(new URL("./testing/scripts.ts", import.meta.url).href);
  const port = await ask<number>(script);
  const initiatorName = "iqn.2026-01.test:initiator";
  return { host: "127.0.0.1", port, initiatorName, targetName: "iqn.2026-01.test:fake", timeoutMs };
}

async function start(script: string): Promise<Initiator> {
  session = Initiator.connect(await options(script));
  return session;
}

const notes = () => ask<unknown[]>("?");

/** A buffer with guards around it. */
function guarded(bytes: number) {
  // Over a buffer made first: a small array of its own moves when a view of it is taken.
  const whole = new Uint8Array(new ArrayBuffer(bytes + 128)).fill(GUARD);
  return {
    address: ptr(whole) + 64,
    data: whole.subarray(64, 64 + bytes),
    intact: () =>
      whole.subarray(0, 64).every((b) => b === GUARD) && whole.subarray(64 + bytes).every((b) => b === GUARD),
  };
}

function run(target: Initiator, direction: "none" | "in" | "out", bytes = 0, timeoutMs = TIMEOUT_MS) {
  const reply = new CommandReply();
  const buffer = guarded(bytes);
  if (direction === "out")
    buffer.data.forEach((_, index) => {
      buffer.data[index] = dataByte(index);
    });
  target.execute(0, CDB, direction, buffer.address, bytes, timeoutMs, reply);
  return { reply, buffer };
}

const isPattern = (data: Uint8Array) => data.every((byte, index) => byte === dataByte(index));

describe("commands", () => {
  test("GOOD without data, ping, logout", async () => {
    const target = await start("good");
    expect(run(target, "none").reply).toMatchObject({ reached: true, status: 0, transferredBytes: 0 });
    expect(target.ping(TIMEOUT_MS)).toBeGreaterThanOrEqual(0);
    expect(target.logout()).toBe(true);
    expect(run(target, "none").reply.cause).toContain("was not sent");
    expect(await notes()).toContain("logout");
  });

  test("RFC 7143 §4.2.4.2: immediate, unsolicited and solicited data, each within its limits", async () => {
    const target = await start("write");
    for (const bytes of [0, 1, 4096, 4097, 10000, 10001, 50000]) {
      expect(run(target, bytes === 0 ? "none" : "out", bytes).reply).toMatchObject({
        reached: true,
        status: 0,
        transferredBytes: bytes,
      });
    }
    const seen = await notes();
    expect(seen).not.toContain("DIFFERS");
    expect(seen.slice(1).filter((_, index) => index % 2 === 0)).toEqual([
      "command 0 F",
      "command 1 F",
      "command 4096 F",
      "command 4096, ffffffff:1 F",
      "command 4096, ffffffff:4096, ffffffff:1808 F",
      "command 4096, ffffffff:4096, ffffffff:1808 F, 100:1 F",
      "command 4096, ffffffff:4096, ffffffff:1808 F, 100:4096, 100:4096, 100:4096, 100:4096 F, " +
        "101:4096, 101:4096, 101:4096, 101:4096 F, 102:4096, 102:3136 F",
    ]);
  });

  test("RFC 7143 §13.10, §13.11: nothing unsolicited with InitialR2T=Yes and ImmediateData=No", async () => {
    const target = await start("writeR2TOnly");
    expect(run(target, "out", 5000).reply).toMatchObject({ status: 0, transferredBytes: 5000 });
    expect(await notes()).toEqual(["connection", "command 0 F, 100:4096, 100:904 F", "same"]);
  });

  test("Data-In in any segmentation, empty segments too", async () => {
    const target = await start("readSegments");
    const { reply, buffer } = run(target, "in", 10000);
    expect(reply).toMatchObject({ reached: true, status: 0, transferredBytes: 10000 });
    expect(isPattern(buffer.data)).toBe(true);
    expect(buffer.intact()).toBe(true);
  });

  test("a PDU that comes byte by byte; status in Data-In, underflow", async () => {
    const target = await start("readDribble");
    const { reply, buffer } = run(target, "in", 10);
    expect(reply).toMatchObject({ reached: true, status: 0, transferredBytes: 9 });
    expect(isPattern(buffer.data.subarray(0, 9))).toBe(true);
    expect(buffer.data[9]).toBe(GUARD);
  });

  test("CHECK CONDITION brings sense and residual", async () => {
    const { reply } = run(await start("sense"), "out", 300);
    expect(reply).toMatchObject({ reached: true, status: 2, senseBytes: 18, transferredBytes: 200 });
    expect([...reply.sense.subarray(0, 13)]).toEqual([0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c]);
  });

  test("overflow: the buffer is full, nothing beyond it", async () => {
    const { reply, buffer } = run(await start("overflow"), "in", 100);
    expect(reply).toMatchObject({ reached: true, status: 0, transferredBytes: 100 });
    expect(buffer.intact()).toBe(true);
  });

  test("several at once: sent in order, answered in any", async () => {
    const target = await start("backwards");
    const places = [0, 1, 2, 3].map((n) =>
      target.submit(0, Uint8Array.of(0, n, 0, 0, 0, 0), "none", 0, 0, TIMEOUT_MS),
    );
    expect(target.outstanding).toBe(4);
    const statuses = new Map<number, number>();
    while (statuses.size < 4) {
      target.serve(TIMEOUT_MS);
      for (let place = target.reap(); place >= 0; place = target.reap()) {
        statuses.set(place, target.replyOf(place).status);
      }
    }
    expect(places.map((place) => statuses.get(place))).toEqual([0, 1, 2, 3]);
    expect(target.outstanding).toBe(0);
    expect(await notes()).toEqual(["connection", "1,2,3,4"]);
  });

  test("NOP-In is answered with its tag while a command waits", async () => {
    expect(run(await start("ping"), "none").reply.status).toBe(0);
    expect(await notes()).toContain("0 77 lun 3 immediate true");
  });

  test("RFC 7143 §4.2.2.1: a command waits for the window, and goes when a NOP-In opens it", async () => {
    const target = await start("window");
    expect(run(target, "none").reply.status).toBe(0);
    expect(run(target, "none").reply.status).toBe(0);
    expect((await notes()).slice(0, 2)).toEqual(["connection", "open"]);
  });

  test("an aborted task is over", async () => {
    const target = await start("silent");
    const place = target.submit(0, CDB, "none", 0, 0, TIMEOUT_MS);
    expect(target.taskManagement(TMF_ABORT_TASK, 0, place, TIMEOUT_MS)).toBe(TMF_COMPLETE);
    expect(target.reap()).toBe(place);
    expect(target.replyOf(place).cause).toContain("aborted");
    expect(target.alive).toBe(true);
  });
});

describe("losses: never sent again, and what is known is said", () => {
  test("no answer in time ends the session", async () => {
    const target = await start("silent");
    const startMs = performance.now();
    const { reply } = run(target, "out", 1000, 100);
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(reply).toMatchObject({ reached: false, transferredBytes: 0 });
    expect(reply.cause).toContain("may or may not have been carried out");
    expect(target.alive).toBe(false);
  });

  test("a closed window: the command was not sent", async () => {
    const { reply } = run(await start("closedWindow"), "none", 0, 100);
    expect(reply.cause).toContain("was not sent");
    expect(await notes()).toEqual(["connection"]);
  });

  test("the connection breaks: one connection, one command, no second", async () => {
    const target = await start("dropAtOnce");
    expect(run(target, "out", 1000).reply.cause).toContain("may or may not have been carried out");
    expect(run(target, "out", 1000).reply.cause).toContain("was not sent");
    await Bun.sleep(50);
    expect(await notes()).toEqual(["connection"]);
  });

  test("Asynchronous Message: logout wanted, connection dropped", async () => {
    const target = await start("asyncLogout");
    expect(run(target, "none").reply.reached).toBe(true);
    expect(run(target, "none").reply.cause).toContain(
      "asks for the session to end; the command was not sent",
    );
    target.close();
    worker?.terminate();
    expect(run(await start("asyncDrop"), "none").reply.cause).toContain("drops the session");
  });

  test("Reject ends the command, not the session", async () => {
    const target = await start("reject");
    expect(run(target, "none").reply.cause).toContain("reason 4h");
    expect(run(target, "none").reply).toMatchObject({ reached: true, status: 0 });
  });

  test("target failure", async () => {
    expect(run(await start("targetFailure"), "none").reply.reached).toBe(false);
  });
});

describe("what no target should send ends the session and touches nothing", () => {
  const rows: [script: string, direction: "in" | "out", cause: string][] = [
    ["hugeSegment", "in", "data segment of 16777215 bytes"],
    ["beyondBuffer", "in", "the buffer has 64"],
    ["gapInData", "in", "Data-In at 4 where 0 was due"],
    ["wrongDataSN", "in", "DataSN 5"],
    ["wrongTag", "in", "unknown task tag"],
    ["shortRead", "in", "GOOD for 64 bytes, 10 came"],
    ["wrongHeaderDigest", "in", "a header digest of the target is wrong"],
    ["wrongDataDigest", "in", "a data digest of the target is wrong"],
    ["wrongStatSN", "in", "StatSN 99"],
    ["residualTooLarge", "in", "residual of"],
    ["unknownOpcode", "in", "unexpected PDU 3ah"],
    ["r2tTooFar", "out", "R2T for 1048576 bytes"],
    ["r2tElsewhere", "out", "R2T at 99 where"],
    ["r2tForRead", "in", "R2T for a command that writes nothing"],
    ["halfPdu", "in", ""],
    ["pingFlood", "in", ""],
  ];
  for (const [script, direction, cause] of rows) {
    test(script, async () => {
      const target = await start(script);
      const { reply, buffer } = run(target, direction, script === "r2tElsewhere" ? 400000 : 64, 2000);
      expect(reply.reached).toBe(false);
      expect(reply.cause).toContain(cause);
      expect(reply.cause).toContain("may or may not");
      expect(target.alive).toBe(false);
      expect(buffer.intact()).toBe(true);
    });
  }

  test("an answer given twice", async () => {
    const target = await start("twice");
    expect(run(target, "none").reply.status).toBe(0);
    target.serve(100);
    // Together with the first one or later:
    expect(target.cause).toMatch(/two answers to one command|unknown task tag/);
  });

  test("200 answers with bytes of the header changed", async () => {
    const where = await options("mutated");
    for (let count = 0; count < 200; count++) {
      session = Initiator.connect(where);
      const { reply, buffer } = run(session, "in", 64, 1000);
      expect(buffer.intact()).toBe(true);
      // Whatever is called good has all of its data.
      if (reply.reached && reply.status === 0)
        expect(isPattern(buffer.data.subarray(0, reply.transferredBytes))).toBe(true);
      session.close();
    }
  });
});

describe("login and discovery", () => {
  const refusals: [script: string, status: number, words: string][] = [
    ["refused", 0x0203, "no such target"],
    ["moved", 0x0101, "moved for now"],
    ["chapOnly", 0, "AuthMethod=CHAP was not offered"],
    ["outsideOffer", 0, "outside of our offer"],
    ["wildLogin", 0, "data segment of"],
    ["endlessLogin", 0, "does not come to an end"],
    ["noLogin", 0, "no answer in time"],
  ];
  for (const [script, status, words] of refusals) {
    test(`${script}: ${words}`, async () => {
      const where = await options(script, script === "noLogin" ? 100 : TIMEOUT_MS);
      let error: unknown;
      try {
        session = Initiator.connect(where);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(InitiatorError);
      if (!(error instanceof InitiatorError)) return;
      expect(error.message).toContain(words);
      expect(error.loginStatus).toBe(status);
      if (script === "moved") expect(error.address).toBe("192.0.2.7:3260,1");
    });
  }

  test("SendTargets over several text PDUs", async () => {
    const found = Initiator.discover(await options("targets"));
    expect(found).toEqual(
      [0, 1, 2].map((n) => ({ name: `iqn.2026-01.test:${n}`, addresses: [`192.0.2.${n}:3260,1`] })),
    );
    expect((await notes()).slice(1, 4)).toEqual(["Discovery", "ffffffff true", "55 false"]);
  });

  test("nobody listens; a name that does not exist", () => {
    const initiatorName = "iqn.2026-01.test:initiator";
    expect(() => Initiator.connect({ host: "127.0.0.1", port: 1, initiatorName, timeoutMs: 1000 })).toThrow(
      "ECONNREFUSED",
    );
    expect(() =>
      Initiator.connect({ host: "nowhere.invalid", port: 1, initiatorName, timeoutMs: 1000 }),
    ).toThrow("unknown host");
  });
});
