import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as at from "../../wasm/ring/layout.ts";
import { isMalformed, type Malformed, parseBarcode, parseDriveId } from "../base/brands.ts";
import { ManualClock } from "../base/clock.ts";
import { openCatalog } from "../catalog/catalog.ts";
import { parseSettings } from "../config.ts";
import { begin } from "../director/switchover.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { createLibrary } from "../library/create.ts";
import { FileRobot } from "../library/file-robot.ts";
import { WorkerHandle } from "../workers/handle.ts";
import { DeviceDesk } from "./device-desk.ts";
import { makeCartridge } from "./library-start.ts";
import { Stock } from "./stock.ts";

const MIB = 1024 * 1024;
const CACHE_BYTES = 64 * MIB;

function good<T>(value: T | Malformed): T {
  if (isMalformed(value)) throw new Error(value.expected);
  return value;
}
const drive = good(parseDriveId(1));
const cartridge = good(parseBarcode("UND001L8"));

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

/** A Worker that takes orders and never answers: whatever the desk does at once, it does by itself. */
function silentWorker(name: string): WorkerHandle {
  const script = URL.createObjectURL(new Blob(["setInterval(() => {}, 1 << 30)"]));
  const spawn = () => {
    const worker = new Worker(script);
    cleanups.push(() => worker.terminate());
    return worker;
  };
  return new WorkerHandle(
    spawn,
    name,
    () => {},
    () => {},
  );
}

/** A desk of one device, as it stands when it streams to drive 1. */
function streamingDesk(marks: { received: number; cached: number; onTape: number }): DeviceDesk {
  const directory = mkdtempSync(join(tmpdir(), "understudy-desk-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const parsed = parseSettings(
    `[library]\ncapacityMegabytes = 256\n[device]\nringMegabytes = 8\nmaxBlockKilobytes = 1024\ncache = { megabytes = ${CACHE_BYTES / MIB} }`,
    null,
    { stateDirectory: directory },
    {},
  );
  if (parsed.kind !== "settings") throw new Error(parsed.lines.join("\n"));
  const [settings] = parsed.settings.devices;
  if (settings === undefined) throw new Error("no device");
  const made = createLibrary(
    { ...{ directory, drives: 1, spares: 1, slots: 2 }, capacityBytes: 256 * MIB, earlyWarningBytes: MIB },
    makeCartridge,
  );
  if ("kind" in made) throw new Error(made.why);
  const robot = FileRobot.open({ directory, bay: () => null });
  if (!(robot instanceof FileRobot)) throw new Error(robot.why);
  const clock = new ManualClock();
  const opened = openCatalog(":memory:", clock);
  if (opened.kind !== "open") throw new Error(opened.text);
  cleanups.push(() => opened.catalog.close());
  const workers = new Map([1, 2].map((id) => [id, silentWorker(`drive ${id}`)]));
  const memory = DeviceMemory.create({
    ringBytes: settings.ringBytes,
    stripeBytes: settings.cache.stripeBytes,
    cacheBytes: settings.cache.cacheBytes,
  });
  memory.setWord(at.CACHE_STATE, at.CACHE_HEALTHY);
  const stock = new Stock(robot, opened.catalog, workers, clock);
  stock.couple(settings.name, drive);
  const desk = new DeviceDesk({
    ...{ index: 0, settings, memory, stock, clock, cacheWorker: null },
    front: () => null,
  });
  const { name: device, noSpare, badCartridge } = settings;
  const recovery = {
    ...{ cartridgeBytes: 256 * MIB, cacheBytes: CACHE_BYTES, beyondCartridge: false, switchMs: 1000 },
    ...{ driveBytesPerSecond: 100e6, hostTimerMs: 900_000, blockBytesMax: MIB, commandsMax: 32 },
  };
  const found = { drive, cartridge: null, cartridgeIn: null, marks, protected: true };
  const first = begin({ device, noSpare, badCartridge, recovery }, found, 0);
  desk.adopt(first.state, first.effects);
  desk.dispatch({ kind: "marks", marks, protected: true, driveBytesPerSecond: null });
  desk.dispatch({ kind: "cartridgeChanged", cartridge });
  return desk;
}

/** The journal as a start leaves it that drained most of a cache: it goes on far beyond, and all of it is on tape. */
function jumpTo(memory: DeviceMemory, J: number): void {
  for (const cursor of [at.RECEIVED, at.DURABLE, at.ON_TAPE]) memory.set(cursor, J);
}

const DRAINED = { received: CACHE_BYTES, cached: CACHE_BYTES, onTape: 0 };
const RESUME_J = 3 * CACHE_BYTES;

const ways = {
  "a drive that says so": (desk: DeviceDesk) =>
    desk.failed({
      ...{ kind: "driveFailed", driveId: drive, device: 0, attempt: desk.state.attempt },
      ...{ operation: "write", outcome: "error", senseHex: "", text: "", J: RESUME_J, position: 0 },
    }),
  "a drive that hangs": (desk: DeviceDesk) => {
    desk.memory.setFigure(at.DRIVE_CALL_SINCE_MS, 1000);
    desk.memory.setFigure(at.DRIVE_CALL_LIMIT_MS, 10);
    desk.watch(2000);
  },
} as const;

for (const [name, fail] of Object.entries(ways)) {
  test(`RED-09, RED-10: a failure is judged by the marks as they stand, not as the last tick saw them: ${name}`, async () => {
    const desk = streamingDesk(DRAINED);
    jumpTo(desk.memory, RESUME_J);
    expect(desk.state).toMatchObject({ name: "Streaming", marks: DRAINED }); // no tick since
    fail(desk);
    expect(desk.state).toMatchObject({
      name: "Classifying",
      marks: { received: RESUME_J, cached: RESUME_J, onTape: RESUME_J },
      recovery: { startJ: RESUME_J },
    });
    const evidence = { sense: { key: 4, asc: 0x44, ascq: 0, deferred: false }, tapeAlerts: [] };
    const scores = { otherDrivesOnCartridge: 0, drivesDeadOnCartridge: 0, otherCartridgesInDrive: 0 };
    desk.dispatch({
      ...{ kind: "gathered", attempt: desk.state.attempt },
      evidence: { ...evidence, unreachable: false, timedOut: false, scores },
    });
    for (let n = 0; n < 10 && desk.state.name !== "Switching"; n++) await Promise.resolve();
    // Judged by the drained journal's marks the cache would be full, and the host told BUSY.
    expect(desk.state).toMatchObject({ name: "Switching", flow: "reduced" });
  });
}
