import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { HostTape } from "../../src/cli/host/host-tape.ts";
import { HostWriter } from "../../src/cli/host/host-writer.ts";
import { Initiator } from "../../src/iscsi/initiator.ts";
import { freePort, startTgtd, type Tgtd, tgtdObstacle } from "../../test/tgt/tgtd.ts";
import { libiscsiObstacle } from "./libiscsi.ts";
import { BlockPattern } from "./pattern.ts";
import { type ClientOptions, runClient } from "./run.ts";

const obstacle = tgtdObstacle() ?? libiscsiObstacle();
const START_MS = 30_000;

describe.skipIf(obstacle !== undefined)(`clients against tgtd${obstacle ? ` (${obstacle})` : ""}`, () => {
  let tgtd: Tgtd;

  beforeAll(async () => {
    tgtd = await startTgtd({ port: freePort(), cartridges: 2, cartridgeMegabytes: 64 });
  }, START_MS);
  afterAll(() => tgtd?.stop());

  const options = (change: Partial<ClientOptions>): ClientOptions => ({
    portal: `127.0.0.1:${tgtd.port}`,
    iqn: "auto",
    lun: 1,
    changerLun: tgtd.changerLun,
    load: "VT0001L8",
    driveIndex: 0,
    blockBytes: 65536,
    blocks: 60,
    depth: 1,
    filemarkEvery: 25,
    seed: 3,
    verify: true,
    unload: true,
    timeoutMs: 10_000,
    ...change,
  });

  for (const depth of [1, 8]) {
    test(`libiscsi at queue depth ${depth}: what it wrote reads back`, () => {
      const result = runClient(options({ depth }));
      expect(result).toMatchObject({
        blocks: 60,
        filemarks: 3,
        hostErrors: 0,
        error: "",
        barcode: "VT0001L8",
      });
      expect(result.verified).toMatchObject({ blocks: 60, filemarks: 3, difference: "" });
    });
  }

  test("our initiator with several writes on their way: every block keeps its length and place", () => {
    runClient(options({ unload: false, blocks: 1 }));
    const session = Initiator.connect({
      host: "127.0.0.1",
      port: tgtd.port,
      initiatorName: "iqn.2026-01.test:own",
      timeoutMs: 5000,
    });
    const tape = new HostTape(session, 1);
    expect(tape.waitReady(5000).kind).toBe("good");
    expect(tape.rewind().kind).toBe("good");
    const writer = new HostWriter(session, { lun: 1, blockBytesMax: 30000, depth: 4 });
    for (let number = 0; number < 40; number++) {
      writer.block().fill(number);
      expect(writer.write(10000 + number)).toBe(true);
    }
    expect(writer.filemarks(1)).toBe(true);
    expect(writer).toMatchObject({ blocks: 40, hostErrors: 0, error: null });
    expect(tape.rewind().kind).toBe("good");
    const pattern = new BlockPattern(65536, 1, 1);
    const address = pattern.block(0);
    for (let number = 0; number < 40; number++) {
      expect(tape.readBlock(address, 10000 + number).kind).toBe("good");
      expect(tape.transferredBytes).toBe(10000 + number);
    }
    expect(tape.readBlock(address, 65536)).toMatchObject({
      kind: "checkCondition",
      sense: { filemark: true },
    });
    expect(session.logout()).toBe(true);
  });
});
