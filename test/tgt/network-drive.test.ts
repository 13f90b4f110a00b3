/** @module A drive and a changer made by others (tgtd), over the network: no LOCATE, no usable READ POSITION, and it really
 *  dies. The tee's own follower and step 615 work on it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IscsiTransport } from "../../src/device/iscsi-transport.ts";
import { SpacingTransport } from "../../src/device/spacing-transport.ts";
import type { TapeDrive } from "../../src/device/tape-drive.ts";
import { alignToJournal } from "../../src/director/tee/align.ts";
import { BenchTop } from "../../src/director/tee/bench-top.fixture.ts";
import { JournalReader } from "../../src/director/tee/journal-reader.ts";
import { putWrite6, putWriteFilemarks } from "../../src/scsi/cdb.ts";
import * as at from "../../wasm/ring/layout.ts";
import { driveContract, NativeArea } from "../contract/drive-contract.ts";
import { driveOf, moveMedium, transportTo } from "./network-library.ts";
import { FIRST_DRIVE, FIRST_SLOT, freePort, startTgtd, type Tgtd, tgtdObstacle } from "./tgtd.ts";

const obstacle = tgtdObstacle();
const title = obstacle === undefined ? "a drive of others" : `a drive of others (skipped: ${obstacle})`;
const BLOCK_BYTES = 65536;

/** Of the contract, what tgtd itself does not keep. */
const TGTD_LACKS = [
  "fixed blocks are read one by one", // residuals of fixed reads
  "a fixed read of a block of another length",
  "a variable read of a longer block", // sends nothing of it
  "after UNLOAD the drive is not ready",
];

describe.skipIf(obstacle !== undefined)(title, () => {
  describe("contract", () => {
    let tgtd: Tgtd;
    let changer: IscsiTransport;
    let slot = FIRST_SLOT;
    beforeAll(async () => {
      tgtd = await startTgtd({ port: freePort(), cartridges: 20, cartridgeMegabytes: 64 });
      changer = transportTo(tgtd, tgtd.changerLun);
    }, 30_000);
    afterAll(() => tgtd?.stop());
    driveContract(
      "tgtd over iSCSI, by SPACE",
      () => {
        const home = slot++;
        moveMedium(changer, home, FIRST_DRIVE);
        const transport = new SpacingTransport(transportTo(tgtd, 1));
        const close = () => {
          transport.close();
          moveMedium(changer, FIRST_DRIVE, home);
        };
        return { transport, capacityBytes: null, earlyWarningBytes: null, close };
      },
      TGTD_LACKS,
    );
  });

  async function withLibrary(
    run: (tgtd: Tgtd, changer: IscsiTransport) => Promise<void> | void,
    options: { drives?: number; directory?: string } = {},
  ): Promise<void> {
    const tgtd = await startTgtd({ port: freePort(), cartridges: 2, cartridgeMegabytes: 64, ...options });
    try {
      await run(tgtd, transportTo(tgtd, tgtd.changerLun));
    } finally {
      await tgtd.stop();
    }
  }
  const loaded = (tgtd: Tgtd, changer: IscsiTransport, lun = 1, writeMs = 10_000): TapeDrive => {
    moveMedium(changer, FIRST_SLOT, FIRST_DRIVE + lun - 1);
    const drive = driveOf(tgtd, lun, writeMs);
    expect(drive.testUnitReady()).toBe("good");
    expect(drive.rewind()).toBe("good");
    return drive;
  };
  const write = (top: BenchTop, seed: number) => {
    const command = top.command((cdb) => putWrite6(cdb, BLOCK_BYTES), BLOCK_BYTES);
    if (command.placed) top.send(command, BLOCK_BYTES, seed);
    return command;
  };
  /** Are these the blocks and the filemark behind them, as BenchTop wrote them? */
  const expectImage = (drive: TapeDrive, blocks: number, markAt: number) => {
    const area = new NativeArea();
    expect(drive.rewind()).toBe("good");
    for (let seed = 0; seed < blocks; seed++) {
      if (seed === markAt) expect(drive.read(area.address, BLOCK_BYTES)).toBe("filemark");
      expect(drive.read(area.address, BLOCK_BYTES)).toBe("good");
      expect(drive.transferredBytes).toBe(BLOCK_BYTES);
      const same = area.bytes
        .subarray(0, BLOCK_BYTES)
        .every((byte, i) => byte === ((seed * 31 + i * 7) & 255));
      expect(same).toBe(true);
    }
    expect(drive.read(area.address, BLOCK_BYTES)).toBe("filemark");
    expect(drive.read(area.address, BLOCK_BYTES)).toBe("endOfData");
  };

  /** The end of every tale: another drive is aligned, goes on, and the image is whole. */
  const goOn = (top: BenchTop, spare: TapeDrive, serial: string) => {
    const { device } = top;
    top.runCache();
    const onTapeJ = device.get(at.ON_TAPE);
    const request = {
      ...{ onTapeJ, onTapePosition: device.get(at.ON_TAPE_POSITION), serial, readyWithinMs: 2000 },
    };
    const reader = new JournalReader(device, null);
    const outcome = alignToJournal(device, spare, reader, request, Bun.sleepSync, () => performance.now());
    expect(outcome).toMatchObject({ kind: "verified" });
    if (outcome.kind !== "verified") return;
    expect(outcome.compared).toBeGreaterThan(0);
    top.follower = top.follow(outcome.fromJ, outcome.position, spare);
    top.runDrive();
    for (let seed = 15; seed < 20; seed++) write(top, seed);
    const mark = top.command((cdb) => putWriteFilemarks(cdb, 1));
    top.runDrive();
    top.runCache();
    top.runDrive();
    expect(top.follower.failure).toBe(null);
    expect(mark.status).toBe(0);
    expect(mark.done).toBe(true);
    expectImage(spare, 20, 10);
  };
  const begin = (drive: TapeDrive): BenchTop => {
    const top = new BenchTop({ drive });
    for (let seed = 0; seed < 10; seed++) write(top, seed);
    const mark = top.command((cdb) => putWriteFilemarks(cdb, 1));
    top.runDrive();
    top.runCache();
    top.runDrive();
    expect(mark.done).toBe(true);
    expect(top.device.get(at.ON_TAPE_POSITION)).toBe(11);
    return top;
  };

  test("RED-09, RED-33, 604: kill -9 in mid-write is a loss of the path; what the tape has is found by REWIND and SPACE, the rest is written anew", async () => {
    const directory = mkdtempSync(join(tmpdir(), "understudy-media-"));
    let top: BenchTop | undefined;
    try {
      await withLibrary(
        async (tgtd, changer) => {
          top = begin(loaded(tgtd, changer));
          for (let seed = 10; seed < 13; seed++) write(top, seed);
          top.runDrive(); // these are on the drive, nobody asked it for them
          tgtd.signal("SIGKILL");
          await Bun.sleep(50);
          for (let seed = 13; seed < 15; seed++) expect(write(top, seed).status).toBe(0);
          top.runDrive();
          expect(top.follower.failure).toMatchObject({ operation: "write", outcome: "unreachable" });
        },
        { directory },
      );
      await withLibrary((tgtd, changer) => top && goOn(top, loaded(tgtd, changer), ""), { directory });
    } finally {
      top?.close();
      rmSync(directory, { recursive: true });
    }
  }, 30_000);

  test("RED-09, RED-33, 611-616: a drive that goes offline: the changer moves the cartridge to the other one, which goes on", async () => {
    await withLibrary(
      async (tgtd, changer) => {
        const top = begin(loaded(tgtd, changer));
        try {
          for (let seed = 10; seed < 13; seed++) write(top, seed);
          top.runDrive();
          const drive = ["--mode", "logicalunit", "--tid", "1", "--lun", "1"];
          await tgtd.admin([...drive, "--op", "update", "--params", "online=0"]);
          for (let seed = 13; seed < 15; seed++) write(top, seed);
          top.runDrive();
          expect(top.follower.failure).toMatchObject({ operation: "write" });
          moveMedium(changer, FIRST_DRIVE, FIRST_SLOT);
          goOn(top, loaded(tgtd, changer, 2), "");
        } finally {
          top.close();
        }
      },
      { drives: 2 },
    );
  }, 30_000);

  test("RED-33, 613: a drive whose LUN is deleted in mid-job answers as no unit, and keeps its cartridge: the changer says so", async () => {
    await withLibrary(async (tgtd, changer) => {
      const drive = loaded(tgtd, changer);
      const area = new NativeArea();
      expect(drive.write(area.address, area.fill(BLOCK_BYTES, 1))).toBe("good");
      await tgtd.admin(["--mode", "logicalunit", "--op", "delete", "--tid", "1", "--lun", "1"]);
      expect(drive.write(area.address, area.fill(BLOCK_BYTES, 2))).toBe("error");
      expect([drive.senseKey, drive.asc]).toEqual([5, 0x25]);
      expect(() => moveMedium(changer, FIRST_DRIVE, FIRST_SLOT)).toThrow("5302");
    });
  }, 30_000);

  test("RED-33: a drive that hangs (SIGSTOP) is lost when the write's time is over", async () => {
    await withLibrary((tgtd, changer) => {
      const drive = loaded(tgtd, changer, 1, 400);
      const area = new NativeArea();
      expect(drive.write(area.address, area.fill(BLOCK_BYTES, 1))).toBe("good");
      tgtd.signal("SIGSTOP");
      expect(drive.write(area.address, area.fill(BLOCK_BYTES, 2))).toBe("unreachable");
      expect(drive.reply.cause).toContain("no answer within 400 ms");
      tgtd.signal("SIGCONT");
    });
  }, 30_000);
});
