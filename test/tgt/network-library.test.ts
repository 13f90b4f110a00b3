/** @module The whole gateway before a library of others (tgtd): our host writes through it, a drive fails, the cartridge goes to
 *  the other drive by tgtd's own changer, and the image is read back through the device. */
import { ptr } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { examine } from "../../src/app/doctor.ts";
import { CommandReply } from "../../src/base/command-reply.ts";
import { librarySchema } from "../../src/base/status.ts";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { mustBeGood } from "../../src/cli/host/host-tape.ts";
import type { Initiator } from "../../src/iscsi/initiator.ts";
import { putRead6 } from "../../src/scsi/cdb.ts";
import { Gateway, temporaryDirectory } from "../end-to-end/gateway.ts";
import { TapeJob, type Written } from "../end-to-end/tape-job.ts";
import { moveMedium, transportTo } from "./network-library.ts";
import {
  FIRST_DRIVE,
  FIRST_MAIL_SLOT,
  FIRST_SLOT,
  freePort,
  startTgtd,
  type Tgtd,
  tgtdObstacle,
} from "./tgtd.ts";

const obstacle = tgtdObstacle();
const title = obstacle === undefined ? "a library of others" : `a library of others (skipped: ${obstacle})`;
const TIMEOUT_MS = 90_000;
const BLOCK_BYTES = 64 * 1024;
const READ_BYTES = 256 * 1024;

const drive = (tgtd: Tgtd, lun: number, changer = 1) =>
  `{ portal = "127.0.0.1:${tgtd.port}", target = "${tgtd.target}", lun = ${lun}, changerElement = ${FIRST_DRIVE + lun - 1}, changer = ${changer} }`;
const changer = (tgtd: Tgtd) =>
  `{ portal = "127.0.0.1:${tgtd.port}", target = "${tgtd.target}", lun = ${tgtd.changerLun} }`;

const settings = (drives: readonly string[], changers: readonly string[], more = "") => `[log]
level = "warning"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 128 }
[library]
kind = "iscsi"
drives = [${drives.join(", ")}]
changers = [${changers.join(", ")}]
spares = 1
capacityMegabytes = 256
${more}`;

/** All objects of the tape as the host reads them, with a buffer longer than a block, as tar does. */
function readBack(session: Initiator, job: TapeJob): Written[] {
  mustBeGood("REWIND", job.tape.rewind());
  const found: Written[] = [];
  const buffer = new Uint8Array(new ArrayBuffer(READ_BYTES));
  const address = Number(ptr(buffer));
  const reply = new CommandReply();
  const cdb = new Uint8Array(16);
  for (;;) {
    const cdbBytes = putRead6(cdb, READ_BYTES);
    session.execute(1, cdb.subarray(0, cdbBytes), "in", address, READ_BYTES, 30_000, reply);
    const flags = reply.senseBytes > 2 ? (reply.sense[2] ?? 0) : 0;
    if ((flags & 15) === 8) return found;
    if ((flags & 0x80) !== 0) found.push(null);
    else {
      const bytes = reply.transferredBytes;
      if (!reply.reached || bytes === 0) throw new Error(`read: ${reply.cause} ${reply.sense.toHex()}`);
      found.push({ bytes, hash: Bun.hash.xxHash3(buffer.subarray(0, bytes)) });
    }
  }
}

/** tgtd refuses as long as a command is with the drive. */
async function deleteDrive(tgtd: Tgtd): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await tgtd.admin(["--mode", "logicalunit", "--op", "delete", "--tid", "1", "--lun", "1"]);
      return;
    } catch (error) {
      if (tries === 50 || !String(error).includes("still active")) throw error;
      await Bun.sleep(20);
    }
  }
}

async function withBoth(
  tgtds: readonly Tgtd[],
  text: string,
  run: (start: () => Promise<Gateway>) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory("foreign");
  let gateway: Gateway | null = null;
  const start = async () => {
    gateway = await Gateway.start({ settings: text, directory });
    return gateway;
  };
  try {
    await run(start);
  } catch (error) {
    const events = await (gateway as Gateway | null)?.api.events(0, 1000).catch(() => []);
    for (const { transition, text, evidence } of events ?? [])
      process.stderr.write(`${transition}: ${text} ${JSON.stringify(evidence)}\n`);
    throw error;
  } finally {
    await (gateway as Gateway | null)?.kill();
    for (const tgtd of tgtds) await tgtd.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

describe.skipIf(obstacle !== undefined)(title, () => {
  /** 200 blocks and a filemark on the way, the drive lost, 100 more: nothing of it is heard by the host. */
  async function loseDrive(
    start: () => Promise<Gateway>,
    lose: (job: TapeJob) => Promise<void>,
    driveAfter = 2,
  ): Promise<{ gateway: Gateway; job: TapeJob }> {
    const gateway = await start();
    const session = gateway.connect();
    const job = new TapeJob(session);
    job.load("VT0002L8");
    for (let n = 0; n < 100; n++) job.block(BLOCK_BYTES + n);
    job.filemarks(1);
    for (let n = 0; n < 100; n++) job.block(BLOCK_BYTES);
    await lose(job);
    for (let n = 0; n < 100; n++) job.block(BLOCK_BYTES);
    job.filemarks(1);
    expect(job.errorWords).toEqual([]);
    expect(readBack(session, job)).toEqual(job.written);
    const { devices } = await gateway.api.status();
    expect(devices[0]).toMatchObject({ state: "Streaming", drive: { id: driveAfter } });
    return { gateway, job };
  }

  test(
    "RED-21, RED-33, 620-621: a drive of a network library is deleted in mid-job and keeps its cartridge: a spare one in the other drive gets the whole image; no error at the host; the coupling outlives a restart",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 2, cartridges: 3, cartridgeMegabytes: 256 });
      const text = settings([drive(tgtd, 1), drive(tgtd, 2)], [changer(tgtd)], "spareCartridges = 1\n");
      await withBoth([tgtd], text, async (start) => {
        const lost = await loseDrive(start, () => deleteDrive(tgtd));
        expect((await lost.gateway.api.status()).drives[0]).toMatchObject({ id: 1, state: "failed" });
        expect(await lost.gateway.stop()).toBe(0);
        const gateway = await start();
        const { job } = lost;
        const session = gateway.connect();
        job.reconnect(session);
        const after = await gateway.api.status();
        expect(after.devices[0]).toMatchObject({ drive: { id: 2 }, cartridge: { barcode: "VT0002L8" } });
        job.tape.testUnitReady();
        mustBeGood("drive", job.tape.waitReady(10_000));
        expect(readBack(session, job)).toEqual(job.written);
        const library = new HostChanger(session, 0);
        mustBeGood("changer", library.waitReady());
        library.unloadDrive(0);
        expect(await gateway.stop()).toBe(0);
      });
    },
    TIMEOUT_MS,
  );

  test(
    "RED-18, RED-33: a drive of others says in mid-job that it is empty (2/3A00), and the robot sees the cartridge there: another drive takes it out and goes on",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 2, cartridges: 3, cartridgeMegabytes: 256 });
      const text = settings([drive(tgtd, 1), drive(tgtd, 2)], [changer(tgtd)]);
      const unit = ["--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "1"];
      await withBoth([tgtd], text, async (start) => {
        const { gateway } = await loseDrive(start, async (job) => {
          job.filemarks(1); // between two commands of the drive
          await tgtd.admin([...unit, "--params", "online=0"]);
        });
        const events = await gateway.api.events(0, 1000);
        expect(events.map(({ transition }) => transition)).toContain("looked");
      });
    },
    TIMEOUT_MS,
  );

  test(
    "RED-18, RED-33: somebody takes the cartridge out of the drive and into another slot in mid-job: the robot is asked, it is fetched back, compared, and the job goes on in the same drive",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 1, cartridges: 3, cartridgeMegabytes: 256 });
      const text = settings([drive(tgtd, 1)], [changer(tgtd)]).replace("spares = 1", "spares = 0");
      await withBoth([tgtd], text, async (start) => {
        const { gateway } = await loseDrive(
          start,
          async (job) => {
            job.filemarks(1); // in the middle of a WRITE tgtd would call it a medium error
            const robot = transportTo(tgtd, tgtd.changerLun);
            moveMedium(robot, FIRST_SLOT, FIRST_MAIL_SLOT);
            moveMedium(robot, FIRST_DRIVE, FIRST_SLOT);
            robot.close();
          },
          1,
        );
        const texts = (await gateway.api.events(0, 1000)).map((event) => event.text);
        expect(texts).toContain("the robot finds VT0002L8 in a slot");
      });
    },
    TIMEOUT_MS,
  );

  test(
    "RED-01, RED-33: a library of others that wants CHAP, both ways: changer and drives are used; with another secret the start is refused, and says why",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 1, cartridges: 2, cartridgeMegabytes: 64 });
      const secrets = temporaryDirectory("secrets");
      const account = (op: string, ...rest: string[]) =>
        tgtd.admin(["--mode", "account", "--op", op, ...rest]);
      const file = (name: string, text: string) => {
        writeFileSync(join(secrets, name), text, { mode: 0o600 });
        return join(secrets, name);
      };
      const entry = (own: string) =>
        `chap = [{ user = "gateway", secretFile = "${own}", mutual = { user = "library", secretFile = "${file("library", "stapleandthensome")}" } }]\n`;
      try {
        await account("new", "--user", "gateway", "--password", "correcthorsebattery");
        await account("bind", "--tid", "1", "--user", "gateway");
        await account("new", "--user", "library", "--password", "stapleandthensome");
        await account("bind", "--tid", "1", "--user", "library", "--outgoing");
        const text = settings([drive(tgtd, 1)], [changer(tgtd)]).replace("spares = 1", "spares = 0");
        const wrong = { settings: text + entry(file("wrong", "not what it should be")) };
        const refused = Gateway.start({ ...wrong, directory: join(secrets, "refused") });
        expect(await refused.then(() => "started", String)).toContain("authentication failure");
        const good = text + entry(file("gateway", "correcthorsebattery"));
        await withBoth([tgtd], good, async (start) => {
          const gateway = await start();
          const session = gateway.connect();
          const job = new TapeJob(session);
          job.load("VT0002L8");
          for (let n = 0; n < 20; n++) job.block(BLOCK_BYTES);
          job.filemarks(1);
          expect(job.errorWords).toEqual([]);
          const answer = await fetch(`${gateway.ready.httpUrl}/api/v1/library`);
          expect(librarySchema.parse(await answer.json()).kind).toBe("iscsi");
        });
      } finally {
        await tgtd.stop();
        rmSync(secrets, { recursive: true, force: true });
      }
    },
    TIMEOUT_MS,
  );

  test(
    "doctor: drives and changers of others that answer, that are away, and an element that is none",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 2, cartridges: 2, cartridgeMegabytes: 64 });
      const directory = temporaryDirectory("doctor");
      const configFile = join(directory, "understudy.toml");
      const look = async (text: string) => {
        writeFileSync(configFile, `[iscsi]\nport = 0\n[http]\nport = 0\n${text}`);
        const report = await examine({ configFile, stateDirectory: join(directory, "state") });
        return (area: string) => report.findings.filter((one) => one.area === area);
      };
      try {
        const good = settings([drive(tgtd, 1), drive(tgtd, 2)], [changer(tgtd)]);
        let found = await look(good);
        expect(found("changer 1")[0]).toMatchObject({ level: "good" });
        expect(found("drive 2")[0]?.text).toContain("ULT3580-TD8 DRV0000002");
        found = await look(good.replace("changerElement = 257", "changerElement = 999"));
        expect(found("drive 2")[0]).toMatchObject({ level: "fault" });
        await tgtd.stop();
        found = await look(good);
        expect(found("changer 1")[0]).toMatchObject({ level: "fault" });
        expect(found("drive 1")[0]).toMatchObject({ level: "fault" });
      } finally {
        await tgtd.stop();
        rmSync(directory, { recursive: true });
      }
    },
    TIMEOUT_MS,
  );

  test(
    "RED-21, RED-33, 620-621: kill -9 of the library that the cartridge is in, in mid-write: a drive of a second library goes on with a spare cartridge and the whole image; no error at the host",
    async () => {
      const media = temporaryDirectory("media");
      const shape = { port: freePort(), drives: 1, cartridges: 2, cartridgeMegabytes: 256, directory: media };
      const first = await startTgtd(shape);
      const second = await startTgtd({
        ...{ port: freePort(), drives: 1, cartridges: 1, cartridgeMegabytes: 256, barcodePrefix: "SP" },
      });
      const drives = [drive(first, 1), drive(second, 1, 2)];
      const text = settings(drives, [changer(first), changer(second)], "spareCartridges = 1\n");
      await withBoth([first, second], text, async (start) => {
        const lost = await loseDrive(start, async () => first.signal("SIGKILL"));
        expect((await lost.gateway.api.status()).drives[0]).toMatchObject({ id: 1, state: "failed" });
        expect(await lost.gateway.stop()).toBe(0);
        // The dead library is switched on again: its drive stays out until somebody returns it.
        await first.stop();
        const revived = await startTgtd(shape);
        try {
          const gateway = await start();
          const { devices, drives } = await gateway.api.status();
          expect(drives[0]).toMatchObject({ id: 1, state: "failed", cartridge: null });
          expect(devices[0]).toMatchObject({ state: "Streaming", drive: { id: 2 } });
          const session = gateway.connect();
          lost.job.reconnect(session);
          lost.job.tape.testUnitReady();
          mustBeGood("drive", lost.job.tape.waitReady(10_000));
          expect(readBack(session, lost.job)).toEqual(lost.job.written);
          expect(await gateway.stop()).toBe(0);
        } finally {
          await revived.stop();
          rmSync(media, { recursive: true, force: true });
        }
      });
    },
    TIMEOUT_MS,
  );

  test(
    "RED-21, RED-33: a library that hangs (SIGSTOP) in mid-write is given up before the host notices; a second one goes on",
    async () => {
      const first = await startTgtd({ port: freePort(), drives: 1, cartridges: 2, cartridgeMegabytes: 256 });
      const second = await startTgtd({
        ...{ port: freePort(), drives: 1, cartridges: 1, cartridgeMegabytes: 256, barcodePrefix: "SP" },
      });
      const drives = [drive(first, 1), drive(second, 1, 2)];
      const text = settings(drives, [changer(first), changer(second)], "spareCartridges = 1\n");
      const quick = text.replace("[device]\n", "[device]\ndriveAnswerSeconds = 1\n");
      await withBoth([first, second], quick, async (start) => {
        await loseDrive(start, async () => first.signal("SIGSTOP"));
        first.signal("SIGKILL");
      });
    },
    TIMEOUT_MS * 2,
  );

  test(
    "RED-18, RED-21, RED-33: the file system behind a drive of others is full (3/0C00): a spare cartridge in another library gets the whole image",
    async () => {
      const first = await startTgtd({
        ...{ port: freePort(), drives: 1, cartridges: 2, cartridgeMegabytes: 256, fileBytesMax: 8 << 20 },
      });
      const second = await startTgtd({
        ...{ port: freePort(), drives: 1, cartridges: 1, cartridgeMegabytes: 256, barcodePrefix: "SP" },
      });
      const drives = [drive(first, 1), drive(second, 1, 2)];
      const text = settings(drives, [changer(first), changer(second)], "spareCartridges = 1\n");
      await withBoth([first, second], text, async (start) => {
        await loseDrive(start, async () => {});
      });
    },
    TIMEOUT_MS,
  );

  test(
    "RED-33: a connection that is cut while nothing is under way is made anew: the drive is not given up, the image is whole",
    async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 2, cartridges: 2, cartridgeMegabytes: 256 });
      const text = settings([drive(tgtd, 1), drive(tgtd, 2)], [changer(tgtd)]);
      await withBoth([tgtd], text, async (start) => {
        const gateway = await start();
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load("VT0002L8");
        for (let n = 0; n < 20; n++) job.block(BLOCK_BYTES + n);
        job.filemarks(1);
        await Bun.sleep(1200);
        const sessions = async () => {
          const shown = await tgtd.admin(["--mode", "conn", "--op", "show", "--tid", "1"]);
          return [...shown.matchAll(/Session: (\d+)/g)].map(([, sid]) => sid ?? "");
        };
        const sids = await sessions();
        expect(sids.length).toBeGreaterThan(0);
        for (const sid of sids)
          await tgtd.admin([
            ...["--mode", "conn", "--op", "delete", "--tid", "1"],
            ...["--sid", sid, "--cid", "0"],
          ]);
        await Bun.sleep(2500);
        expect((await sessions()).filter((sid) => sids.includes(sid))).toEqual([]);
        for (let n = 0; n < 20; n++) job.block(BLOCK_BYTES);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect((await gateway.api.status()).devices[0]).toMatchObject({
          state: "Streaming",
          drive: { id: 1 },
        });
        expect(readBack(session, job)).toEqual(job.written);
      });
    },
    TIMEOUT_MS,
  );
});
