/** @module What the end of a gateway leaves to the next one: everything that was answered is on tape after a SIGTERM, and
 *  the library stands as it was, whatever cartridge lies in whatever drive. (Sudden ends: test/crash.) */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import type { Status } from "../../src/base/status.ts";
import { describeOutcome } from "../../src/cli/host/host-port.ts";
import { mustBeGood } from "../../src/cli/host/host-tape.ts";
import { Gateway, temporaryDirectory } from "./gateway.ts";
import { compareCartridge, TapeJob } from "./tape-job.ts";

const TIMEOUT_MS = 120_000;
const BARCODE = "UND002L8";
const BLOCK_BYTES = 256 * 1024;
const READY_MS = 10_000;

/** Slow enough that a ring's worth is not on tape when the host has had its GOOD. */
const SETTINGS = `[log]
level = "warning"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 128 }
[library]
drives = 1
spares = 1
slots = 3
capacityMegabytes = 2048
paceMegabytesPerSecond = 30
bufferMegabytes = 4
`;

/** Where everything is: what must survive. */
function standing({ devices, drives }: Status) {
  return {
    device: devices.map(({ state, serial, drive, cartridge }) => ({
      state,
      serial,
      drive: drive?.id ?? null,
      cartridge: cartridge?.barcode ?? null,
    })),
    drives: drives.map(({ id, state, cartridge }) => ({ id, state, cartridge })),
  };
}

test(
  "SIGTERM drains, with a session open and the host ahead of the drive: exit 0, all that was answered is on the cartridge; the next start finds cartridges, couplings and failed drives as they were",
  async () => {
    const directory = temporaryDirectory("restart");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({ settings: SETTINGS, directory });
      const job = new TapeJob(gateway.connect());
      job.load(BARCODE);
      for (let n = 0; n < 40; n++) job.block(BLOCK_BYTES);
      await gateway.api.order("POST", "/drives/1/fault", { rule: "on write 1: hardware error" });
      for (let n = 0; n < 80; n++) job.block(BLOCK_BYTES);
      job.filemarks(1);
      for (let n = 0; n < 100; n++) job.block(BLOCK_BYTES);
      expect(job.errorWords).toEqual([]);
      const before = await gateway.api.status();
      const { marks } = before.devices[0]!;
      expect(marks.onTape.bytes).toBeLessThan(marks.received.bytes);
      expect(await gateway.stop()).toBe(0);
      const { length } = job.written;
      const whole = { objects: length, alike: length, tornBytes: 0 };
      expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual(whole);

      gateway = await Gateway.start({ settings: SETTINGS, directory });
      const after = await gateway.api.status();
      expect(standing(after)).toEqual(standing(before));
      expect(standing(after)).toMatchObject({
        device: [{ state: "Streaming", drive: 2, cartridge: BARCODE }],
        drives: [
          { id: 1, state: "failed", cartridge: null },
          { id: 2, state: "coupled", cartridge: BARCODE },
        ],
      });

      // Rule 7: the host hears of the restart, says where it wants to go on, and goes on.
      job.reconnect(gateway.connect());
      expect(describeOutcome(job.tape.testUnitReady())).toContain("6/29");
      mustBeGood("drive", job.tape.waitReady(READY_MS));
      mustBeGood("SPACE", job.tape.space("endOfData"));
      expect(job.tape.readPosition()).toMatchObject({ known: true, block: length });
      for (let n = 0; n < 20; n++) job.block(BLOCK_BYTES);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);

      await gateway.api.order("POST", "/drives/1/return");
      expect(await gateway.stop()).toBe(0);
      const all = job.written.length;
      expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
        objects: all,
        alike: all,
        tornBytes: 0,
      });

      gateway = await Gateway.start({ settings: SETTINGS, directory });
      expect(standing(await gateway.api.status()).drives).toMatchObject([
        { id: 1, state: expect.stringMatching(/^(idle|spare)$/) },
        { id: 2, state: "coupled", cartridge: BARCODE },
      ]);
      expect(await gateway.stop()).toBe(0);
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);
