/** @module Method 600 where the cartridge is at fault, or stuck, and where a drive hangs: another cartridge gets the whole
 *  image while the host goes on writing, and answers to the same barcode. A gateway in a process of its own; what counts is
 *  what the host was told and what is on the cartridge afterwards. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { librarySchema, type Status } from "../../src/base/status.ts";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { mustBeGood } from "../../src/cli/host/host-tape.ts";
import { Gateway, temporaryDirectory, withGateway } from "./gateway.ts";
import { compareCartridge, TapeJob } from "./tape-job.ts";

const TIMEOUT_MS = 120_000;
const READY_MS = 10_000;
const KIB = 1024;
const MIB = 1024 * KIB;
const BARCODE = "UND001L8";
/** Kept in reserve, in slot 4. */
const SPARE = "UND004L8";
const CORRUPT = "sense 3/3100";

interface Shape {
  readonly badCartridge?: "swap" | "otherDrive";
  readonly noSpare?: "report" | "hold";
  readonly spares?: number;
  readonly spareCartridges?: number;
  readonly slots?: number;
  readonly cacheMegabytes?: number;
  readonly paceMegabytesPerSecond?: number;
  readonly driveAnswerSeconds?: number;
  readonly faults?: readonly string[];
}

function settings(shape: Shape): string {
  return `[log]
level = "warning"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
noSpare = "${shape.noSpare ?? "report"}"
badCartridge = "${shape.badCartridge ?? "swap"}"
driveAnswerSeconds = ${shape.driveAnswerSeconds ?? 60}
cache = { megabytes = ${shape.cacheMegabytes ?? 256}, members = 3 }
[library]
drives = 1
spares = ${shape.spares ?? 1}
slots = ${shape.slots ?? 4}
spareCartridges = ${shape.spareCartridges ?? 1}
capacityMegabytes = 2048
paceMegabytesPerSecond = ${shape.paceMegabytesPerSecond ?? 80}
bufferMegabytes = 4
latencies = { loadMs = 100, unloadMs = 50, moveMs = 100, locateMs = 20 }
faults = ${JSON.stringify(shape.faults ?? [])}
`;
}

const deviceOf = (status: Status) => {
  const device = status.devices[0];
  if (device === undefined) throw new Error("no device in the status");
  return device;
};

function stream(job: TapeJob, totalBytes: number, blockBytes = 128 * KIB + 13): void {
  for (let done = 0, blocks = 0; done < totalBytes; done += blockBytes) {
    if (!job.block(blockBytes)) return;
    if (++blocks % 60 === 0 && !job.filemarks(1, blocks % 120 === 0)) return;
  }
}

async function realPlaces(gateway: Gateway): Promise<Record<string, string>> {
  const answer = await fetch(`${gateway.ready.httpUrl}/api/v1/library`);
  const { real } = librarySchema.parse(await answer.json());
  return Object.fromEntries(
    real.flatMap(({ barcode, kind, number }) => (barcode === null ? [] : [[barcode, `${kind} ${number}`]])),
  );
}

/** As soon as all is as before: the host had its GOOD from the cache's word. */
async function streaming(gateway: Gateway): Promise<Status> {
  for (;;) {
    const status = await gateway.api.status();
    const { state, reason } = deviceOf(status);
    if (state === "Streaming") return status;
    if (state === "Halted") throw new Error(reason ?? "halted");
    await Bun.sleep(20);
  }
}

function expectWhole(gateway: Gateway, barcode: string, { written }: TapeJob): void {
  const { length } = written;
  expect(compareCartridge(gateway.cartridgeFile(barcode), written)).toEqual({
    objects: length,
    alike: length,
    tornBytes: 0,
  });
}

test(
  "RED-08, RED-22a (631-633): a cartridge fails in a good drive: another one in the same drive gets the whole image, rewrites and all, and answers to its barcode; the morning says which label to move",
  async () => {
    const directory = temporaryDirectory("swap");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({
        directory,
        settings: settings({ faults: [`drive 1: on write 400: ${CORRUPT}`] }),
      });
      let session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      stream(job, 12 * MIB);
      // Back into the middle and on: what lay behind is gone from the image, too.
      mustBeGood("LOCATE", job.tape.locate(40));
      job.written.length = 40;
      stream(job, 60 * MIB);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      const status = await streaming(gateway);
      expect(deviceOf(status)).toMatchObject({
        state: "Streaming",
        flow: "normal",
        drive: { id: 1 },
        cartridge: { barcode: BARCODE },
        protects: { drive: true, cartridge: true },
      });
      expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "drive 1", [BARCODE]: "slot 4" });
      expect(status.standIns).toMatchObject([
        { label: BARCODE, replacement: SPARE, fromSlot: 4, failedIn: "slot 4", replacementIn: "drive 1" },
      ]);
      expect(status.morning.map(({ todo }) => todo).join(" ")).toContain(`move the label ${BARCODE}`);
      const boxes = (await gateway.api.events(0, 1000)).map(({ evidence }) => evidence.boxes);
      for (const box of ["631", "632", "621, 633"]) expect(boxes).toContain(box);

      const changer = new HostChanger(session, 0);
      const shown = () => changer.elements().flatMap(({ full, barcode }) => (full ? [barcode] : []));
      expect(shown().toSorted()).toEqual([BARCODE, "UND002L8", "UND003L8"]);
      expect(changer.elements().filter(({ type }) => type === "storage").length).toBe(3);
      changer.unloadDrive(0);
      expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "slot 1", [BARCODE]: "slot 4" });
      expect(shown().toSorted()).toEqual([BARCODE, "UND002L8", "UND003L8"]);
      session.logout();
      expect(await gateway.stop()).toBe(0);
      expectWhole(gateway, SPARE, job);

      // It goes on answering to it after a restart, and is read under that name.
      gateway = await Gateway.start({ directory, settings: settings({}) });
      session = gateway.connect();
      job.reconnect(session);
      job.load(BARCODE);
      expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "drive 1" });
      const { address } = job.piece(0);
      mustBeGood("READ", job.tape.readBlock(address, MIB));
      expect(job.tape.transferredBytes).toBe(128 * KIB + 13);
      session.close();
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

test(
  "RED-22b (620-621): badCartridge = otherDrive: a spare cartridge in an unused drive gets the whole image; the good drive keeps the failed one",
  () =>
    withGateway(
      "other-drive",
      settings({ badCartridge: "otherDrive", faults: [`drive 1: on write 300: ${CORRUPT}`] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 64 * MIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        const status = await streaming(gateway);
        expect(deviceOf(status)).toMatchObject({ state: "Streaming", drive: { id: 2 } });
        expect(status.drives.find(({ id }) => id === 1)?.state).not.toBe("failed");
        expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "drive 2", [BARCODE]: "drive 1" });
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, SPARE, job);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-18, RED-22: a write error in one drive, then in another: the cartridge is to blame, and is replaced",
  () =>
    withGateway(
      "blamed",
      settings({ faults: ["drive 1: on write 200: medium error", "drive 2: on write 20: medium error"] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 64 * MIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect(deviceOf(await streaming(gateway))).toMatchObject({ state: "Streaming", drive: { id: 2 } });
        expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "drive 2" });
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, SPARE, job);
      },
    ),
  TIMEOUT_MS,
);

const STUCK = ["drive 1: on write 299: stuck", "drive 1: on write 300: hardware error"];

test(
  "RED-21 (613, 620-621): the dead drive keeps its cartridge: a spare cartridge in the spare drive gets the whole image, and the host is told nothing",
  () =>
    withGateway("stuck", settings({ faults: STUCK }), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      stream(job, 80 * MIB);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      const status = await streaming(gateway);
      expect(deviceOf(status)).toMatchObject({ state: "Streaming", drive: { id: 2 } });
      expect(status.drives.find(({ id }) => id === 1)).toMatchObject({ state: "failed", cartridge: BARCODE });
      expect(status.standIns).toMatchObject([{ label: BARCODE, failedIn: "drive 1", replacement: SPARE }]);
      session.logout();
      expect(await gateway.stop()).toBe(0);
      expectWhole(gateway, SPARE, job);
    }),
  TIMEOUT_MS,
);

test(
  "RED-19, RED-21: stuck, and no spare cartridge: the host gets the drive's own sense, deferred; nothing is claimed that is not on the tape",
  () =>
    withGateway("no-cartridge", settings({ spareCartridges: 0, faults: STUCK }), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      for (let n = 0; n < 4000 && job.errors.length === 0; n++) job.block(64 * KIB);
      const [error] = job.errors;
      if (error?.kind !== "checkCondition") throw new Error(`expected sense, got ${job.errorWords[0]}`);
      expect(error.sense).toMatchObject({ key: 4, asc: 0x44, deferred: true });
      const device = deviceOf(await gateway.api.status());
      expect(device).toMatchObject({ state: "Halted", flow: "report" });
      expect(device.reason).toContain("no spare cartridge");
      const position = job.tape.readPosition();
      if (position.kind !== "position") throw new Error("no position");
      const { alike, objects } = compareCartridge(gateway.cartridgeFile(BARCODE), job.written);
      expect(alike).toBe(objects);
      expect(position.onMediumBlock).toBeLessThanOrEqual(alike);
      session.close();
    }),
  TIMEOUT_MS,
);

test(
  "RED-19b, RED-22: no spare cartridge, hold: the cache goes on taking; a spare one is added and tried again: it gets the whole image, and the job goes on as if nothing had been",
  () =>
    withGateway(
      "hold-cartridge",
      settings({
        spareCartridges: 0,
        noSpare: "hold",
        slots: 5,
        faults: [100, 120].map((n) => `drive 1: on write ${n}: ${CORRUPT}`),
      }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 16 * MIB);
        for (let n = 0; n < 1000 && deviceOf(await gateway.api.status()).state !== "Halted"; n++)
          job.block(64 * KIB);
        expect(job.filemarks(1)).toBe(true); // promised from the cache
        const halted = deviceOf(await gateway.api.status());
        expect(halted).toMatchObject({ state: "Halted", owedFilemarks: 1 });
        expect(halted.reason).toContain("no spare cartridge");
        await gateway.api.order("DELETE", "/cartridges/UND005L8");
        const added = await gateway.api.order("POST", "/cartridges", { barcode: "NEW001L8", spare: true });
        expect(added).toContain("kept for one that fails");
        await gateway.api.order("POST", "/operator/retry", { device: "drive-1" });
        for (let n = 0; n < 400 && deviceOf(await gateway.api.status()).state === "Halted"; n++)
          job.block(64 * KIB);
        await streaming(gateway);
        stream(job, 8 * MIB);
        expect(job.filemarks(1)).toBe(true);
        expect(job.errorWords).toEqual([]);
        const status = await gateway.api.status();
        expect(deviceOf(status)).toMatchObject({ owedFilemarks: 0, cartridge: { barcode: BARCODE } });
        expect(status.standIns).toMatchObject([{ label: BARCODE, replacement: "NEW001L8" }]);
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, "NEW001L8", job);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-05, RED-22: a cartridge ends before all was on it: of the spare ones a larger one gets the whole image; the host goes on, and hears of no end",
  () =>
    withGateway(
      "larger",
      settings({ slots: 5, faults: ["drive 1: on write 300: sense D/0002"] }),
      async (gateway) => {
        await gateway.api.order("DELETE", "/cartridges/UND004L8");
        const larger = { barcode: "BIG001L8", megabytes: 4096, spare: true };
        await gateway.api.order("POST", "/cartridges", larger);
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 64 * MIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        const status = await streaming(gateway);
        expect(status.standIns).toMatchObject([{ label: BARCODE, replacement: "BIG001L8" }]);
        expect(deviceOf(status).cartridge).toMatchObject({ barcode: BARCODE, capacityBytes: 4096 * MIB });
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, "BIG001L8", job);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-22: an image that has outgrown the cache: said when it happens; a bad cartridge is then reported as it is",
  () =>
    withGateway("outgrown", settings({ cacheMegabytes: 32 }), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      stream(job, 16 * MIB);
      job.filemarks(1);
      expect(deviceOf(await gateway.api.status()).protects).toEqual({ drive: true, cartridge: true });
      stream(job, 32 * MIB);
      job.filemarks(1);
      await Bun.sleep(300);
      expect(deviceOf(await gateway.api.status()).protects).toEqual({ drive: true, cartridge: false });
      const events = await gateway.api.events(0, 1000);
      expect(events.filter(({ transition }) => transition === "imageOutgrewCache").length).toBe(1);
      await gateway.api.order("POST", "/drives/1/fault", { rule: `on write 1: ${CORRUPT}` });
      for (let n = 0; n < 1000 && job.errors.length === 0; n++) job.block(64 * KIB);
      const [error] = job.errors;
      if (error?.kind !== "checkCondition") throw new Error(`expected sense, got ${job.errorWords[0]}`);
      expect(error.sense).toMatchObject({ key: 3, asc: 0x31, deferred: true });
      expect(deviceOf(await gateway.api.status()).reason).toContain("whole image");
      session.close();
    }),
  TIMEOUT_MS,
);

test(
  "RED-22: the replacement fails too: the next one gets the image; a drive hangs while it is written: another goes on; the barcode stays",
  () =>
    withGateway(
      "twice",
      settings({
        spareCartridges: 2,
        driveAnswerSeconds: 1,
        faults: [
          `drive 1: on write 200: ${CORRUPT}`,
          `drive 1: on write 250: ${CORRUPT}`,
          "drive 1: on write 300: hang",
        ],
      }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 64 * MIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        const status = await streaming(gateway);
        expect(deviceOf(status)).toMatchObject({ drive: { id: 2 }, cartridge: { barcode: BARCODE } });
        expect(status.standIns).toMatchObject([{ label: BARCODE, replacementIn: "drive 2" }]);
        const { replacement = "" } = status.standIns[0] ?? {};
        expect(["UND003L8", SPARE]).toContain(replacement);
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, replacement, job);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-22: data was on the cartridge before, and is in no journal: a drive's failure is mended, the cartridge's is reported as it is",
  async () => {
    const directory = temporaryDirectory("append");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({ directory, settings: settings({}) });
      const job = new TapeJob(gateway.connect());
      job.load(BARCODE);
      stream(job, 8 * MIB);
      job.filemarks(1);
      expect(await gateway.stop()).toBe(0);
      const faults = ["drive 1: on write 50: hardware error", `drive 2: on write 100: ${CORRUPT}`];
      gateway = await Gateway.start({ directory, settings: settings({ faults }) });
      job.reconnect(gateway.connect());
      job.tape.testUnitReady();
      mustBeGood("drive", job.tape.waitReady(READY_MS));
      mustBeGood("SPACE", job.tape.space("endOfData"));
      expect(deviceOf(await gateway.api.status()).protects).toEqual({ drive: true, cartridge: false });
      for (let n = 0; n < 2000 && job.errors.length === 0; n++) job.block(64 * KIB);
      const [error] = job.errors;
      if (error?.kind !== "checkCondition") throw new Error(`expected sense, got ${job.errorWords[0]}`);
      expect(error.sense).toMatchObject({ key: 3, asc: 0x31, deferred: true });
      expect(deviceOf(await gateway.api.status())).toMatchObject({ state: "Halted", drive: { id: 2 } });
      expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "slot 4" });
      const { alike, objects } = compareCartridge(gateway.cartridgeFile(BARCODE), job.written);
      expect(alike).toBe(objects);
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

test(
  "RED-18, RED-20, rule 8: a drive that hangs is replaced long before the host's timer; its call comes back later and changes nothing",
  () =>
    withGateway(
      "hang",
      settings({ driveAnswerSeconds: 1, faults: ["drive 1: on write 300: hang"] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 96 * MIB); // several laps of the ring, around what the hung call may still read
        expect(job.errorWords).toEqual([]);
        const status = await gateway.api.status();
        expect(deviceOf(status)).toMatchObject({ drive: { id: 2 } });
        expect(status.drives.find(({ id }) => id === 1)?.state).toBe("failed");
        const failed = (await gateway.api.events(0, 1000)).find(
          ({ transition }) => transition === "Streaming -> Classifying",
        );
        expect(failed?.evidence).toMatchObject({ timedOut: true });
        await gateway.api.order("DELETE", "/drives/1/fault");
        stream(job, 64 * MIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect(deviceOf(await streaming(gateway))).toMatchObject({
          state: "Streaming",
          flow: "normal",
          drive: { id: 2 },
        });
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expectWhole(gateway, BARCODE, job);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-21, RED-22: the gateway is killed while a spare cartridge gets the image: the next start goes on with that one, and every filemark's promise is kept",
  async () => {
    const directory = temporaryDirectory("killed");
    let gateway: Gateway | null = null;
    try {
      const shape = settings({ paceMegabytesPerSecond: 30, faults: [`drive 1: on write 300: ${CORRUPT}`] });
      gateway = await Gateway.start({ directory, settings: shape });
      const job = new TapeJob(gateway.connect());
      job.load(BARCODE);
      stream(job, 40 * MIB);
      while (deviceOf(await gateway.api.status()).state !== "Replaying") job.block(64 * KIB);
      for (let n = 0; n < 20; n++) job.block(64 * KIB);
      expect(job.filemarks(1)).toBe(true);
      expect(job.errorWords).toEqual([]);
      expect(deviceOf(await gateway.api.status()).owedFilemarks).toBe(1);
      await gateway.kill();

      gateway = await Gateway.start({ directory, settings: settings({}) });
      expect(deviceOf(await gateway.api.status())).toMatchObject({
        state: "Streaming",
        cartridge: { barcode: BARCODE },
      });
      expect(await realPlaces(gateway)).toMatchObject({ [SPARE]: "drive 1" });
      job.reconnect(gateway.connect());
      job.tape.testUnitReady();
      mustBeGood("drive", job.tape.waitReady(READY_MS));
      mustBeGood("SPACE", job.tape.space("endOfData"));
      expect(job.tape.readPosition()).toMatchObject({ known: true, block: job.written.length });
      expect(await gateway.stop()).toBe(0);
      expectWhole(gateway, SPARE, job);
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);
