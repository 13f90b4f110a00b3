/** @module The main job over loopback: a backup server of our own, a gateway in a process of its own, drives that fail in
 *  every way but by hanging. What counts is what the host was told and what is on the cartridge afterwards. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import type { HouseEvent } from "../../src/base/events.ts";
import type { Status } from "../../src/base/status.ts";
import { mustBeGood } from "../../src/cli/host/host-tape.ts";
import { Gateway, temporaryDirectory, withGateway } from "./gateway.ts";
import { compareCartridge, TapeJob } from "./tape-job.ts";

const TIMEOUT_MS = 120_000;
const BARCODE = "UND001L8";
const MIB = 1024 * 1024;
const KIB = 1024;

interface Shape {
  readonly spares?: number;
  readonly ringMegabytes?: number;
  readonly cacheMegabytes?: number;
  readonly maxBlockKilobytes?: number;
  readonly paceMegabytesPerSecond?: number;
  readonly noSpare?: "report" | "hold";
  readonly cacheMembers?: string;
  readonly faults?: readonly string[];
}

function settings(shape: Shape): string {
  return `[log]
level = "warning"
[device]
ringMegabytes = ${shape.ringMegabytes ?? 16}
maxBlockKilobytes = ${shape.maxBlockKilobytes ?? 1024}
noSpare = "${shape.noSpare ?? "report"}"
cache = { megabytes = ${shape.cacheMegabytes ?? 128}, members = ${shape.cacheMembers ?? "3"} }
[library]
drives = 1
spares = ${shape.spares ?? 1}
slots = 2
capacityMegabytes = 2048
paceMegabytesPerSecond = ${shape.paceMegabytesPerSecond ?? 60}
bufferMegabytes = 4
latencies = { loadMs = 150, unloadMs = 100, moveMs = 150, locateMs = 50 }
faults = ${JSON.stringify(shape.faults ?? [])}
`;
}

const deviceOf = (status: Status) => {
  const device = status.devices[0];
  if (device === undefined) throw new Error("no device in the status");
  return device;
};

async function transitions(gateway: Gateway): Promise<string[]> {
  const events: readonly HouseEvent[] = await gateway.api.events(0, 1000);
  return events.filter(({ kind }) => kind === "transition").map(({ transition }) => transition);
}

/** Blocks of one size until so many bytes are written, a filemark after every `filemarkEvery` of them. */
function stream(job: TapeJob, totalBytes: number, blockBytes: number, filemarkEvery: number): void {
  for (let done = 0, blocks = 0; done < totalBytes; done += blockBytes) {
    if (!job.block(blockBytes)) return;
    if (++blocks % filemarkEvery === 0 && !job.filemarks(1, blocks % (2 * filemarkEvery) === 0)) return;
  }
}

test(
  "RED-01, RED-04, RED-07, RED-20: blocks from 1 byte to 8 MiB, fixed blocks, filemarks; the drive dies: no error, the same serial, another real one, an exact image",
  () =>
    withGateway(
      "identity",
      settings({
        ringMegabytes: 64,
        maxBlockKilobytes: 8192,
        cacheMegabytes: 256,
        paceMegabytesPerSecond: 120,
        faults: ["drive 1: on write at block 150: hardware error"],
      }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        const serialBefore = job.tape.serialNumber();
        const before = deviceOf(await gateway.api.status());

        for (const bytes of [1, 2, 511, 512, 513, 1024, 4095, 10240, 32768, 64512, 65537, 262144])
          job.block(bytes);
        job.filemarks(1);
        job.filemarks(2, true);
        for (const bytes of [8 * MIB, 8 * MIB - 1, 2 * MIB + 3]) for (let n = 0; n < 4; n++) job.block(bytes);
        mustBeGood("fixed mode", job.tape.setBlockBytes(512));
        job.fixedBlocks(37, 512);
        job.fixedBlocks(1, 512);
        job.filemarks(1, true);
        mustBeGood("fixed mode", job.tape.setBlockBytes(64 * KIB));
        for (let n = 0; n < 8; n++) job.fixedBlocks(32, 64 * KIB); // the drive dies within one of these commands
        mustBeGood("variable mode", job.tape.setBlockBytes(0));
        job.filemarks(1);
        for (let n = 0; n < 10; n++) job.block(8 * MIB - n);
        for (let n = 0; n < 40; n++) job.block(3000 + n);
        job.filemarks(2);

        expect(job.errorWords).toEqual([]);
        const after = deviceOf(await gateway.api.status());
        expect(job.tape.serialNumber()).toBe(serialBefore);
        expect(after.serial).toBe(serialBefore);
        expect(before.drive?.serial).not.toBe(serialBefore);
        expect(after.drive?.id).toBe(2);
        expect(after.drive?.serial).not.toBe(before.drive?.serial);
        const status = await gateway.api.status();
        expect(status.drives.find(({ id }) => id === 1)?.state).toBe("failed");

        // Read back through the device: sizes as they were written, filemarks where they were.
        mustBeGood("REWIND", job.tape.rewind());
        const { address } = job.piece(0);
        mustBeGood("LOCATE", job.tape.locate(11));
        mustBeGood("READ", job.tape.readBlock(address, 8 * MIB));
        expect(job.tape.transferredBytes).toBe(262144);
        const mark = job.tape.readBlock(address, 8 * MIB);
        expect(mark.kind === "checkCondition" && mark.sense.filemark).toBe(true);
        mustBeGood("SPACE", job.tape.space("endOfData"));
        expect(job.tape.readPosition()).toMatchObject({ known: true, block: job.written.length });

        session.logout();
        expect(await gateway.stop()).toBe(0);
        const { length } = job.written;
        expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
          objects: length,
          alike: length,
          tornBytes: 0,
        });
      },
    ),
  TIMEOUT_MS,
);

const FAULTS = [
  "hardware error",
  "hardware error keep buffer",
  "medium error",
  "deferred medium error",
  "deferred hardware error",
  "vanish",
  "no answer",
] as const;

for (const fault of FAULTS) {
  test(
    `RED-09, RED-15, RED-18, RED-20: ${fault} in mid-stream: no error at the host, every object on the cartridge once, after three laps of the cache`,
    () =>
      withGateway(
        "fault",
        settings({ cacheMegabytes: 32, faults: [`drive 1: on write 600: ${fault}`] }),
        async (gateway) => {
          const session = gateway.connect();
          const job = new TapeJob(session);
          job.load(BARCODE);
          stream(job, 96 * MIB, 128 * KIB + 13, 50); // six laps of the ring; it fails in the fifth
          job.filemarks(1);
          expect(job.errorWords).toEqual([]);
          expect(deviceOf(await gateway.api.status()).drive?.id).toBe(2);
          const passed = await transitions(gateway);
          expect(passed).toContain("Streaming -> Classifying");
          session.logout();
          expect(await gateway.stop()).toBe(0);
          const { length } = job.written;
          expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
            objects: length,
            alike: length,
            tornBytes: 0,
          });
        },
      ),
    TIMEOUT_MS,
  );
}

test(
  "RED-09, RED-11, RED-23a: while the spare replays, the host's new blocks are cached, more slowly; it catches up all the same, and all goes on as before",
  () =>
    withGateway(
      "replay",
      settings({ paceMegabytesPerSecond: 40, faults: ["drive 1: on write 200: hardware error"] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        const samples: ReturnType<typeof deviceOf>[] = [];
        let last = "";
        for (let n = 0; n < 4000; n++) {
          if (!job.block(128 * KIB)) break;
          if (n < 150 || n % 2 !== 0) continue;
          const device = deviceOf(await gateway.api.status());
          samples.push(device);
          const back = last === "Replaying" && device.state === "Streaming";
          last = device.state;
          if (back) break;
        }
        for (let n = 0; n < 100; n++) job.block(128 * KIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        for (const name of ["received", "cached", "onTape"] as const) {
          const shown = samples.map(({ marks }) => marks[name].bytes);
          expect(shown).toEqual(shown.toSorted((a, b) => a - b)); // a mark never goes back
        }
        const replaying = samples.filter(({ state }) => state === "Replaying");
        const [first, end] = [replaying[0], replaying.at(-1)];
        if (first === undefined || end === undefined) throw new Error("no sample while it replayed");
        expect(end.marks.received.bytes).toBeGreaterThan(first.marks.received.bytes);
        expect(end.marks.cached.bytes).toBeGreaterThan(first.marks.received.bytes - 16 * MIB);
        expect(samples.at(-1)).toMatchObject({ state: "Streaming", follower: "ring" }); // ... and yet it caught up
        expect(replaying.every(({ flow }) => flow === "reduced")).toBe(true);
        expect(deviceOf(await gateway.api.status())).toMatchObject({
          state: "Streaming",
          flow: "normal",
          follower: "ring",
          owedFilemarks: 0,
        });
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written).alike).toBe(job.written.length);
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-17a, RED-17b: while GOOD and requests for data are held back the session stays up and NOPs are answered",
  () =>
    withGateway(
      "held",
      settings({ paceMegabytesPerSecond: 16, ringMegabytes: 16, maxBlockKilobytes: 4096 }),
      async (gateway) => {
        const session = gateway.connect(16);
        const job = new TapeJob(session);
        job.load(BARCODE);
        const bytes = 4 * MIB;
        const cdb = Uint8Array.of(0x0a, 0, bytes >>> 16, (bytes >>> 8) & 255, bytes & 255, 0);
        for (let n = 0; n < 12; n++) session.submit(1, cdb, "out", job.piece(bytes).address, bytes, 60_000);
        const pings: number[] = [];
        let ended = 0;
        const statuses: number[] = [];
        while (session.outstanding > 0 && session.alive) {
          session.serve(20);
          for (let place = session.reap(); place >= 0; place = session.reap()) {
            statuses.push(session.replyOf(place).status);
            ended++;
          }
          if (ended > 0 && session.outstanding > 0 && pings.length < 40) pings.push(session.ping(5000));
        }
        // A filemark that is not immediate waits for the drive, too.
        const filemark = Uint8Array.of(0x10, 0, 0, 0, 1, 0);
        session.submit(1, filemark, "none", 0, 0, 60_000);
        const whileHeld: number[] = [];
        while (session.outstanding > 0 && session.alive) {
          session.serve(10);
          if (whileHeld.length < 20) whileHeld.push(session.ping(5000));
          if (session.reap() >= 0) break;
        }
        expect(session.alive).toBe(true);
        expect(statuses).toEqual(new Array(12).fill(0));
        expect(pings.length).toBeGreaterThan(10);
        expect(whileHeld.length).toBeGreaterThan(3);
        for (const ms of [...pings, ...whileHeld]) {
          expect(ms).toBeGreaterThanOrEqual(0);
          expect(ms).toBeLessThan(1000);
        }
        session.logout();
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-19a: no spare, report: the host gets the drive's own sense, deferred; nothing is claimed that is not on the tape",
  () =>
    withGateway(
      "report",
      settings({ spares: 0, faults: ["drive 1: on write 300: sense 4/4100"] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 32 * MIB, 64 * KIB, 1000);
        for (let n = 0; n < 400 && job.errors.length === 0; n++) job.block(64 * KIB);
        const [error] = job.errors;
        if (error?.kind !== "checkCondition") throw new Error(`expected sense, got ${job.errorWords[0]}`);
        expect(error.sense).toMatchObject({ key: 4, asc: 0x41, ascq: 0, deferred: true });
        const position = job.tape.readPosition();
        if (position.kind !== "position") throw new Error("no position");
        const device = deviceOf(await gateway.api.status());
        expect(device).toMatchObject({ state: "Halted", flow: "report" });
        expect(job.filemarks(1)).toBe(false); // a barrier that cannot be kept is not promised
        const { alike, objects } = compareCartridge(gateway.cartridgeFile(BARCODE), job.written);
        expect(alike).toBe(objects);
        expect(position.onMediumBlock).toBeLessThanOrEqual(alike);
        expect(position.block - position.onMediumBlock).toBe(position.bufferedBlocks);
        expect((await gateway.api.status()).morning.map(({ text }) => text).join(" ")).toContain("drive");
        session.close();
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-19b: no spare, hold: the cache goes on taking; once the drive is mended the job goes on as if nothing had been",
  () =>
    withGateway(
      "hold",
      settings({ spares: 0, noSpare: "hold", faults: ["drive 1: on write 300: hardware error"] }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        for (let n = 0; n < 340; n++) job.block(64 * KIB);
        while (deviceOf(await gateway.api.status()).state !== "Halted") job.block(64 * KIB);
        const halted = job.written.length;
        for (let n = 0; n < 20; n++) job.block(64 * KIB);
        expect(job.filemarks(1)).toBe(true); // promised from the cache
        expect(job.written.length).toBe(halted + 21);
        expect(deviceOf(await gateway.api.status())).toMatchObject({ state: "Halted", owedFilemarks: 1 });
        await gateway.api.order("POST", "/drives/1/return");
        while (deviceOf(await gateway.api.status()).state !== "Streaming") await Bun.sleep(20);
        for (let n = 0; n < 100; n++) job.block(64 * KIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect(deviceOf(await gateway.api.status()).owedFilemarks).toBe(0);
        session.logout();
        expect(await gateway.stop()).toBe(0);
        const { length } = job.written;
        expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
          objects: length,
          alike: length,
          tornBytes: 0,
        });
      },
    ),
  TIMEOUT_MS,
);

for (const { name, spares, drive } of [
  {
    name: "RED-30a: dedicated spares: an idle drive is left alone, and the host is told",
    spares: "dedicated",
    drive: 1,
  },
  { name: "RED-30b: any idle drive serves as a spare", spares: "any", drive: 2 },
] as const) {
  test(
    name,
    () =>
      withGateway(
        "spares",
        `${settings({ spares: 0, faults: ["drive 1: on write 50: hardware error"] }).replace("drives = 1", "drives = 2")}
[[devices]]
name = "drive-1"
drive = 1
spares = "${spares}"
`,
        async (gateway) => {
          const session = gateway.connect();
          const job = new TapeJob(session);
          job.load(BARCODE);
          for (let n = 0; n < 200 && job.block(64 * KIB); n++);
          const kept = job.filemarks(1);
          expect(kept).toBe(drive === 2);
          expect(job.errors.length > 0).toBe(drive === 1);
          const status = await gateway.api.status();
          expect(status.drives.find(({ id }) => id === 2)?.state).toBe(drive === 2 ? "coupled" : "idle");
          expect(deviceOf(status).state).toBe(drive === 2 ? "Streaming" : "Halted");
          session.close();
        },
      ),
    TIMEOUT_MS,
  );
}

test(
  "RED-10, RED-23b: no drive and the cache full: BUSY, the session stays; a drive comes back: BUSY ends, the job goes on",
  () =>
    withGateway(
      "busy",
      settings({
        spares: 0,
        noSpare: "hold",
        cacheMegabytes: 32,
        maxBlockKilobytes: 4096,
        paceMegabytesPerSecond: 300,
        faults: ["drive 1: on write 100: hardware error"],
      }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        job.waitsWhenBusy = false;
        for (let n = 0; n < 4000 && job.block(128 * KIB); n++);
        expect(job.busy).toBe(1);
        expect(deviceOf(await gateway.api.status())).toMatchObject({ state: "Halted", flow: "busy" });
        expect(session.ping(2000)).toBeGreaterThanOrEqual(0);
        await gateway.api.order("POST", "/drives/1/return");
        job.waitsWhenBusy = true;
        for (let n = 0; n < 200; n++) job.block(128 * KIB);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        expect((await transitions(gateway)).at(-1)).toBe("Replaying -> Streaming");
        session.logout();
        expect(await gateway.stop()).toBe(0);
        const { length } = job.written;
        expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
          objects: length,
          alike: length,
          tornBytes: 0,
        });
      },
    ),
  TIMEOUT_MS,
);

test(
  "RED-02, RED-03: a cache disk is gone at the start: an alarm; then the drive dies: the image is replayed by parity",
  async () => {
    const directory = temporaryDirectory("parity");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({ directory, settings: settings({}) });
      const members = deviceOf(await gateway.api.status()).cache.members.map(({ path }) => path);
      expect(await gateway.stop()).toBe(0);
      rmSync(members[1] ?? "");
      gateway = await Gateway.start({
        directory,
        settings: settings({ faults: ["drive 1: on write 200: hardware error"] }),
      });
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      expect(deviceOf(await gateway.api.status()).cache.state).toBe("degraded");
      stream(job, 48 * MIB, 128 * KIB, 100);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      expect(deviceOf(await gateway.api.status())).toMatchObject({ drive: { id: 2 }, state: "Streaming" });
      session.logout();
      expect(await gateway.stop()).toBe(0);
      const { length } = job.written;
      expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written)).toEqual({
        objects: length,
        alike: length,
        tornBytes: 0,
      });
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

test(
  "RED-03: a lost cache disk is replaced and rebuilt on line, under a stream; then another one is lost, and then the drive: nothing is",
  async () => {
    const directory = temporaryDirectory("rebuild");
    let gateway: Gateway | null = null;
    try {
      gateway = await Gateway.start({ directory, settings: settings({}) });
      const [first = "", second = ""] = deviceOf(await gateway.api.status()).cache.members.map(
        ({ path }) => path,
      );
      expect(await gateway.stop()).toBe(0);
      rmSync(second);
      gateway = await Gateway.start({ directory, settings: settings({}) });
      let session = gateway.connect();
      let job = new TapeJob(session);
      job.load(BARCODE);
      stream(job, 16 * MIB, 128 * KIB, 100);
      expect((await gateway.api.status()).morning[0]?.todo).toContain("understudy cache replace drive-1 2");
      expect(gateway.api.order("POST", "/devices/drive-1/cache/1/replace")).rejects.toThrow("in use");
      await gateway.api.order("POST", "/devices/drive-1/cache/2/replace");
      // The members' word comes a moment after the array's.
      const { api } = gateway;
      const rebuilt = async () => {
        const { state, members } = deviceOf(await api.status()).cache;
        return state === "healthy" && members.every((member) => member.state === "good");
      };
      while (!(await rebuilt())) {
        stream(job, 4 * MIB, 128 * KIB, 100);
        expect(job.written.length).toBeLessThan(8000);
      }
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      session.close();
      await gateway.kill();

      rmSync(first);
      gateway = await Gateway.start({
        directory,
        settings: settings({ faults: ["drive 1: on write 100: hardware error"] }),
      });
      const before = job.written;
      session = gateway.connect();
      job = new TapeJob(session);
      job.load(BARCODE);
      mustBeGood("SPACE", job.tape.space("endOfData"));
      stream(job, 32 * MIB, 128 * KIB, 100);
      job.filemarks(1);
      expect(job.errorWords).toEqual([]);
      expect(deviceOf(await gateway.api.status())).toMatchObject({
        drive: { id: 2 },
        cache: { state: "degraded" },
      });
      session.logout();
      expect(await gateway.stop()).toBe(0);
      const written = [...before, ...job.written];
      expect(compareCartridge(gateway.cartridgeFile(BARCODE), written)).toEqual({
        objects: written.length,
        alike: written.length,
        tornBytes: 0,
      });
    } finally {
      await gateway?.kill();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  TIMEOUT_MS,
);

test(
  "RED-31: a disk-file library as primary, the cache in memory (tmpfs): the spare goes on from there",
  () =>
    withGateway(
      "memory",
      settings({
        cacheMembers: '["{dir}/ram/0", "{dir}/ram/1", "{dir}/ram/2", "{dir}/ram/3"]',
        cacheMegabytes: 144,
        ringMegabytes: 18,
        faults: ["drive 1: on write 200: vanish"],
      }),
      async (gateway) => {
        const session = gateway.connect();
        const job = new TapeJob(session);
        job.load(BARCODE);
        stream(job, 64 * MIB, 128 * KIB, 100);
        job.filemarks(1);
        expect(job.errorWords).toEqual([]);
        const { cache, drive } = deviceOf(await gateway.api.status());
        expect(cache.state).toBe("healthy");
        expect(cache.members.map(({ path }) => path)).toEqual(
          [0, 1, 2, 3].map((member) => `${gateway.directory}/ram/${member}`),
        );
        expect(drive?.id).toBe(2);
        session.logout();
        expect(await gateway.stop()).toBe(0);
        expect(compareCartridge(gateway.cartridgeFile(BARCODE), job.written).alike).toBe(job.written.length);
      },
    ),
  TIMEOUT_MS,
);
