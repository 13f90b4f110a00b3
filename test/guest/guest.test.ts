/** @module Debian's kernel, unmodified, as the backup server of `understudy serve`. */

import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { HouseEvent } from "../../src/base/events.ts";
import type { DeviceStatus, Status } from "../../src/base/status.ts";
import { CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { type Gateway, serveExists, startGateway } from "./gateway.ts";
import { describeResult, type GuestResult, guestObstacle, runGuest } from "./guest.ts";

/** Building the image once may be part of the first test. */
const TEST_TIMEOUT_MS = 900_000;
const WATCH_EVERY_MS = 50;
const MEBIBYTE = 1048576;
/** `tar -b 512` */
const TAR_RECORD_BYTES = 262144;
/** The guest sends 25-30 MB/s: this drive is slower, so that the host runs ahead of it. */
const DRIVE_MEGABYTES_PER_SECOND = 8;

const BARCODES = Array.from({ length: 8 }, (_, slot) => `UND00${slot + 1}L8`);
/** One slot more than cartridges: mtx transfer needs an empty one. */
const LIBRARY = `
[library]
slots = 9
barcodes = ${JSON.stringify(BARCODES)}
`;

const obstacle = serveExists() ? guestObstacle() : "there is no `serve` command yet";
const title = `a Linux backup server${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`;

describe.skipIf(obstacle !== undefined)(title, () => {
  let gateway: Gateway | undefined;
  /** After each test: SIGTERM drains, and the gateway ends with 0. */
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });

  test(
    "RED-01, RED-04, RED-07: mtx, mt, tar and dd see an ordinary library, and the kernel logs no tape error",
    async () => {
      gateway = await startGateway(LIBRARY);
      const result = await runGuest({ script: "basic.sh", env: { PORT: gateway.iscsiPort } });
      await mustPass(result, gateway);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "RED-01, RED-04: Bacula's own test of a tape drive (btape test) passes, the kernel logs no tape error",
    async () => {
      gateway = await startGateway(LIBRARY);
      // Its 40,000 blocks take their time one by one: small ones are the quickest.
      const result = await runGuest({
        script: "btape.sh",
        env: { PORT: gateway.iscsiPort, BLOCK_BYTES: 4096 },
      });
      await mustPass(result, gateway);
    },
    TEST_TIMEOUT_MS,
  );

  for (const { rows, fault, what, ringMegabytes } of [
    {
      rows: "RED-01, RED-02, RED-09, RED-11, RED-20, RED-23",
      fault: "on write 1: hardware error",
      what: "a drive that breaks",
      ringMegabytes: 32,
    },
    {
      rows: "RED-09, RED-20",
      fault: "on write 1: vanish",
      what: "a drive that vanishes with what its buffer held",
      ringMegabytes: 16,
    },
    {
      rows: "RED-09, RED-20, DESIGN rule 4",
      fault: "on write 1: deferred hardware error",
      what: "a drive that tells too late that it lost its buffer",
      ringMegabytes: 16,
    },
  ]) {
    test(
      `${rows}: ${what} in mid-tar goes unnoticed: tar exits 0, all compares equal, no tape error is logged`,
      async () => {
        gateway = await startGateway(slowLibrary(ringMegabytes));
        await killDriveInMidTar(gateway, fault, ringMegabytes);
      },
      TEST_TIMEOUT_MS,
    );
  }

  for (const { row, what, rules, drive } of [
    {
      row: "RED-22a",
      what: "a cartridge that fails half way is swapped for another",
      rules: ["on write 1: sense 3/3100"],
      drive: 1,
    },
    {
      row: "RED-21",
      what: "a cartridge stuck in a dead drive is left there",
      rules: ["on write 1: stuck", "on write 1: hardware error"],
      drive: 3,
    },
  ]) {
    test(
      `${row}: ${what}: tar exits 0, all compares equal on the one that stands in, no tape error is logged`,
      async () => {
        gateway = await startGateway(slowLibrary(16).replace("[library]", "[library]\nspareCartridges = 1"));
        await loseCartridgeInMidTar(gateway, rules, drive);
      },
      TEST_TIMEOUT_MS,
    );
  }

  test(
    "RED-19a: no spare: tar fails with the drive's own sense, and what READ POSITION said was on tape is on the cartridge",
    async () => {
      gateway = await startGateway(slowLibrary(16).replace("[library]", "[library]\nspares = 0"));
      await failInMidTar(gateway);
      // What the cache took, and no tape has, is kept and told.
      await gateway.stop(EXIT.notOnTape);
      gateway = undefined;
    },
    TEST_TIMEOUT_MS,
  );
});

/** What a tape file is to hold, as the guest worked it out beforehand. */
interface TarStream {
  readonly file: number;
  readonly md5: string;
  readonly bytes: number;
  /** At its beginning, not in the sum: a label holds the time. */
  readonly skippedBytes: number;
}

/** A ring small enough that the stream fills it five times. */
function slowLibrary(ringMegabytes: number): string {
  return `${LIBRARY}
paceMegabytesPerSecond = ${DRIVE_MEGABYTES_PER_SECOND}
bufferMegabytes = 4

[device]
ringMegabytes = ${ringMegabytes}
maxBlockKilobytes = 4096

[device.cache]
megabytes = 256
`;
}

async function mustPass(result: GuestResult, gateway: Gateway): Promise<void> {
  if (result.exitCode !== 0)
    throw new Error(`${describeResult(result)}\n--- gateway\n${await gateway.log()}`);
  expect(result.output).toContain("GUEST-PASSED");
}

async function killDriveInMidTar(gateway: Gateway, fault: string, ringMegabytes: number): Promise<void> {
  const megabytes = 5 * ringMegabytes;
  const streams: TarStream[] = [];
  const watch = new Watch(gateway);
  let broken: Promise<{ status: Status; hostBytes: number } | Error> | undefined;
  const result = await runGuest({
    script: "tar-big.sh",
    env: { PORT: gateway.iscsiPort, MEGABYTES: megabytes },
    memoryMegabytes: 500 + 2 * megabytes,
    onLine: (line, guest) => {
      const [word, name, ...values] = line.split(" ");
      if (word !== "GUEST-MARK") return;
      if (name === "tar-stream")
        streams.push({
          file: Number(values[0]),
          md5: String(values[1]),
          bytes: Number(values[2]),
          skippedBytes: Number(values[3]),
        });
      if (name === "tar-written") void watch.stop();
      const hostBytes = Number(values[0]);
      if (name === "tar-bytes" && hostBytes >= (megabytes / 2) * MEBIBYTE)
        broken ??= breakDrive(gateway, fault).then(
          (status) => {
            watch.start();
            return { status, hostBytes };
          },
          (refused) => {
            guest.kill();
            return refused;
          },
        );
    },
  });
  await watch.stop();
  const atFault = await broken;
  if (atFault instanceof Error) throw atFault;
  await mustPass(result, gateway);

  // The fault met the drive in the middle of the stream, beyond the ring's first lap, with the host far ahead.
  const { status: before, hostBytes } = atFault!;
  expect(streams.map(({ file }) => file)).toEqual([0, 1]);
  const stream = streams[0]!;
  const ringBytes = ringMegabytes * MEBIBYTE;
  expect(stream.bytes).toBeGreaterThanOrEqual(4 * ringBytes);
  expect(hostBytes).toBeLessThan(0.6 * stream.bytes);
  expect(before.devices[0]!.drive?.id).toBe(1);
  const { events } = await api<{ events: HouseEvent[] }>(gateway, "events?device=drive-1&limit=1000");
  const failure = events.find(({ transition }) => transition === "operationFailed")!;
  expect(failure.evidence).toMatchObject({ drive: 1 });
  const faultBytes = Number(failure.evidence.position) * TAR_RECORD_BYTES;
  expect(faultBytes).toBeGreaterThan(ringBytes);
  expect(before.devices[0]!.marks.received.bytes - faultBytes).toBeGreaterThan(ringBytes / 4);

  const after = await api<Status>(gateway, "status");
  expect(after.devices[0]).toMatchObject({ state: "Streaming", drive: { id: 3 }, owedFilemarks: 0 });
  expect(after.drives.map(({ id, state }) => ({ id, state }))).toEqual([
    { id: 1, state: "failed" },
    { id: 2, state: "coupled" },
    { id: 3, state: "coupled" },
  ]);
  // The server goes on seeing the drive that it always saw (RED-07).
  expect(after.devices[0]!.serial).toBe(before.devices[0]!.serial);
  expect(statesOf(events)).toEqual([
    "Streaming",
    "Classifying",
    "Choosing",
    "Switching",
    "Verifying",
    "Replaying",
    "Streaming",
  ]);
  // 606, 611: a slower lane, not a stop; 616: replay while new data came in; 618: then cache and drive together again.
  const { seen } = watch;
  const whileReplaying = seen
    .filter(({ state }) => state === "Replaying")
    .map(({ marks }) => marks.received.bytes);
  expect(seen.map(({ flow }) => flow)).toContain("reduced");
  expect(Math.max(...whileReplaying)).toBeGreaterThan(Math.min(...whileReplaying));
  const together = seen.filter(({ state, follower }) => state === "Streaming" && follower === "ring");
  expect(together.at(0)?.marks.received.bytes).toBeLessThan(stream.bytes);
  expect(result.dmesg).not.toMatch(/st\d+: (Error|Failed)|Sense Key|I\/O error/);
  compareCartridge(gateway, streams);
}

async function loseCartridgeInMidTar(
  gateway: Gateway,
  rules: readonly string[],
  drive: number,
): Promise<void> {
  const megabytes = 80;
  const streams: TarStream[] = [];
  let broken: Promise<unknown> | undefined;
  const result = await runGuest({
    script: "tar-big.sh",
    env: { PORT: gateway.iscsiPort, MEGABYTES: megabytes },
    memoryMegabytes: 500 + 2 * megabytes,
    onLine: (line) => {
      const [word, name, file, md5, bytes, skipped] = line.split(" ");
      if (word !== "GUEST-MARK") return;
      if (name === "tar-stream")
        streams.push({
          file: Number(file),
          md5: String(md5),
          bytes: Number(bytes),
          skippedBytes: Number(skipped),
        });
      if (name === "tar-bytes" && Number(file) >= (megabytes / 2) * MEBIBYTE)
        broken ??= rules.reduce<Promise<unknown>>(
          (before, rule) => before.then(() => breakDrive(gateway, rule)),
          Promise.resolve(),
        );
    },
  });
  await broken;
  await mustPass(result, gateway);
  const after = await api<Status>(gateway, "status");
  expect(after.devices[0]).toMatchObject({ state: "Streaming", drive: { id: drive }, owedFilemarks: 0 });
  expect(after.standIns).toMatchObject([{ label: BARCODES[0], replacement: BARCODES[7] }]);
  expect(result.dmesg).not.toMatch(/st\d+: (Error|Failed)|Sense Key|I\/O error/);
  compareCartridge(gateway, streams, BARCODES[7]);
}

async function failInMidTar(gateway: Gateway): Promise<void> {
  // Late enough that the drive, a ring behind the host, has been asked what is on the tape (every 32 MiB).
  const megabytes = 96;
  const brokenAtMegabytes = 72;
  const records: string[] = [];
  let position: readonly number[] = [];
  let tarStatus = 0;
  let broken: Promise<unknown> | undefined;
  const result = await runGuest({
    script: "no-spare.sh",
    // 4/1501: not what the gateway would say by itself.
    env: { PORT: gateway.iscsiPort, MEGABYTES: megabytes, SENSE: "Mechanical positioning error" },
    memoryMegabytes: 500 + 2 * megabytes,
    onLine: (line) => {
      const [word, name, ...values] = line.split(" ");
      if (word !== "GUEST-MARK") return;
      if (name === "record") records.push(values.join());
      if (name === "position") position = values.map(Number);
      if (name === "tar-failed") tarStatus = Number(values[0]);
      if (name === "tar-bytes" && Number(values[0]) >= brokenAtMegabytes * MEBIBYTE)
        broken ??= breakDrive(gateway, "on write 1: sense 4/1501");
    },
  });
  await broken;
  await mustPass(result, gateway);
  expect(tarStatus).not.toBe(0);
  expect((await api<Status>(gateway, "status")).devices[0]).toMatchObject({
    state: "Halted",
    flow: "report",
  });

  const [first = 0, last = 0, buffered = 0] = position;
  expect(last).toBeGreaterThan(0);
  // The host was ahead of the drive, and is told by how much.
  expect(buffered).toBeGreaterThan(0);
  expect(first - last).toBe(buffered);
  const reader = new CartridgeReader(
    join(gateway.stateDirectory, "library", "cartridges", `${BARCODES[0]}.tape`),
  );
  try {
    const found = [...reader.file(0)].map((block) => new Bun.CryptoHasher("md5").update(block).digest("hex"));
    expect(found.length).toBeGreaterThanOrEqual(last);
    expect(found.length).toBeLessThan(records.length);
    expect(found).toEqual(records.slice(0, found.length));
  } finally {
    reader.close();
  }
}

/** Device 1 as the API shows it, several times a second, from the fault on. */
class Watch {
  readonly seen: DeviceStatus[] = [];
  private watching: Promise<void> | undefined;
  private stopped = false;

  constructor(private readonly gateway: Gateway) {}

  start(): void {
    this.watching = this.watch();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.watching;
  }

  private async watch(): Promise<void> {
    while (!this.stopped) {
      const status = await api<Status>(this.gateway, "status").catch(() => undefined);
      if (status !== undefined) this.seen.push(status.devices[0]!);
      await Bun.sleep(WATCH_EVERY_MS);
    }
  }
}

/** What the guest wrote is what lies on the cartridge, says a reader that shares no code with the writer. */
function compareCartridge(
  gateway: Gateway,
  streams: readonly TarStream[],
  barcode: string | undefined = BARCODES[0],
): void {
  const path = join(gateway.stateDirectory, "library", "cartridges", `${barcode}.tape`);
  const reader = new CartridgeReader(path);
  try {
    const found = streams.map(({ file, skippedBytes }): TarStream => {
      const hash = new Bun.CryptoHasher("md5");
      let bytes = 0;
      for (const block of reader.file(file)) {
        expect(block.length).toBe(TAR_RECORD_BYTES);
        hash.update(block.subarray(bytes === 0 ? skippedBytes : 0));
        bytes += block.length;
      }
      return { file, md5: hash.digest("hex"), bytes, skippedBytes };
    });
    expect(found).toEqual([...streams]);
    const bytes = streams.reduce((sum, stream) => sum + stream.bytes, 0);
    expect(reader.summarize()).toMatchObject({
      blocks: bytes / TAR_RECORD_BYTES,
      filemarks: streams.length,
      dataBytes: bytes,
      tornBytes: 0,
    });
  } finally {
    reader.close();
  }
}

/** What the house says of itself at the moment of the fault, which it then arms. */
async function breakDrive(gateway: Gateway, rule: string): Promise<Status> {
  const status = await api<Status>(gateway, "status");
  await api(gateway, "drives/1/fault", { rule });
  return status;
}

/** The states that the device went through from its first fault on, in order; one entered again at once counts once. */
function statesOf(events: readonly HouseEvent[]): string[] {
  const rows = events
    .filter(({ kind }) => kind === "transition")
    .sort((one, other) => one.id - other.id)
    .map(({ transition }) => /^(\w+) -> (\w+)/.exec(transition)!);
  const first = rows.findIndex(([, , to]) => to === "Classifying");
  const states = [rows[first]![1]!, ...rows.slice(first).map(([, , to]) => to!)];
  return states.filter((state, index) => state !== states[index - 1]);
}

async function api<T>(gateway: Gateway, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(`${gateway.httpUrl}/api/v1/${path}`, {
    ...(body === undefined
      ? {}
      : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}
