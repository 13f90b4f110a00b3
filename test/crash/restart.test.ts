/** @module What a restart finds, and what stops a start: quick single cases beside the kill loop. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../../src/cli/exit.ts";
import { Random } from "../simulator/random.ts";
import {
  Gateway,
  type GatewayFacts,
  type LibraryShape,
  SMALL_LIBRARY,
  temporaryDirectory,
} from "./gateway.ts";
import { Host, Shelf } from "./host.ts";
import type { TapeModel } from "./tape-model.ts";

setDefaultTimeout(60_000);

const BARCODE = "CRA001L8";
const gateways: Gateway[] = [];

afterEach(async () => {
  for (const gateway of gateways.splice(0)) {
    await gateway.kill();
    gateway.remove();
  }
});

function gatewayOf(shape: Partial<LibraryShape> = {}): Gateway {
  const gateway = new Gateway(temporaryDirectory("restart"), { ...SMALL_LIBRARY, switchMs: 0, ...shape });
  gateways.push(gateway);
  return gateway;
}

interface Job {
  readonly host: Host;
  readonly model: TapeModel;
}

/** A cartridge in the drive and a few files on it, the last one closed by a filemark. */
function writeFiles(facts: GatewayFacts, blocks: number): Job {
  const shelf = new Shelf();
  const host = new Host(facts, shelf, new Random(1), "restart");
  host.load(BARCODE, host.driveElement().barcode);
  const model = shelf.model(BARCODE);
  host.writeBlocks(model, blocks, 65536);
  host.writeFilemark(model);
  return { host, model };
}

async function exitOf(gateway: Gateway): Promise<number> {
  return await Promise.race([gateway.ended(), Bun.sleep(20_000).then(() => -1)]);
}

function failedDrives(status: { drives: { id: number; state: string }[] }): number[] {
  return status.drives.filter(({ state }) => state === "failed").map(({ id }) => id);
}

async function statusOf(facts: GatewayFacts) {
  const answer = await fetch(`${facts.httpUrl}/api/v1/status`);
  return (await answer.json()) as {
    devices: { state: string; drive: { id: number } | null }[];
    drives: { id: number; state: string }[];
  };
}

test("a clean stop drains, and the next start finds everything", async () => {
  const gateway = gatewayOf();
  const { host, model } = writeFiles(await gateway.start(), 100);
  host.writeBlocks(model, 200, 65536); // not promised: the stop writes them
  host.close();
  gateway.terminate();
  expect(await exitOf(gateway)).toBe(EXIT.done);
  model.promiseAll();
  model.check(gateway.cartridgePath(BARCODE));

  const facts = await gateway.start();
  expect(facts.notes.filter((note) => !note.includes("O_DIRECT"))).toEqual([]);
  const again = new Host(facts, new Shelf(), new Random(2), "again");
  expect(again.driveElement().barcode).toBe(BARCODE);
  again.expectRestarted();
  again.expectRefusedUntilPositioned();
  again.expectPositions(model);
  again.readBack(model, 50);
  again.close();
});

test("a state directory in use stops the start, and says who uses it", async () => {
  const gateway = gatewayOf();
  await gateway.start();
  const second = new Gateway(gateway.directory, gateway.shape);
  const other = Bun.spawn(
    [
      process.execPath,
      "src/main.ts",
      "serve",
      "--state",
      gateway.state,
      "--iscsi",
      "127.0.0.1:0",
      "--http",
      "127.0.0.1:0",
    ],
    { cwd: join(import.meta.dir, "..", ".."), stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  expect(await other.exited).toBe(EXIT.refused);
  expect(await new Response(other.stderr).text()).toMatch(
    /state: in use by process \d+; stop it, or name another/,
  );
  await second.kill();
});

test("a cache file with a foreign signature stops the start, and is left as it is", async () => {
  const gateway = gatewayOf();
  await gateway.start();
  gateway.terminate();
  await gateway.ended();
  const member = gateway.memberPaths()[1] as string;
  const foreign = "SQLite format 3\0 and what else lies in somebody's database".padEnd(8192, "x");
  writeFileSync(member, foreign);
  gateway.spawn();
  expect(await exitOf(gateway)).toBe(EXIT.refused);
  expect(gateway.words()).toContain(`${member}: a foreign signature`);
  expect(readFileSync(member, "utf8")).toBe(foreign);
});

test("a cache member that is gone: the start is degraded, and what was promised comes from parity", async () => {
  const gateway = gatewayOf({ spares: 0, paceMegabytesPerSecond: 0 });
  // With no spare the filemark of the failover is promised by the cache alone, and owed to the tape.
  writeNoSpareHold(gateway);
  const facts = await gateway.start();
  const { host, model } = writeFiles(facts, 40);
  await fetch(`${facts.httpUrl}/api/v1/drives/1/fault`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ rule: "on write 3: vanish" }),
  });
  host.writeBlocks(model, 60, 65536);
  host.writeFilemark(model);
  host.close();
  await gateway.kill();
  expect(model.promised).toBe(102);
  expect(() => model.check(gateway.cartridgePath(BARCODE))).toThrow("promised objects are missing");
  rmSync(gateway.memberPaths()[1] as string);

  // Drive 1 is out: it stays out until it is returned.
  const halted = await gateway.start();
  expect(halted.notes.join("\n")).toContain("member-2 is lost");
  const before = await statusOf(halted);
  expect(failedDrives(before)).toEqual([1]);
  const back = await fetch(`${halted.httpUrl}/api/v1/drives/1/return`, {
    method: "POST",
    headers: { "content-type": "application/json" },
  });
  expect(back.status).toBe(200);
  for (let n = 0; n < 200 && (await statusOf(halted)).devices[0]?.state !== "Streaming"; n++)
    await Bun.sleep(50);
  model.check(gateway.cartridgePath(BARCODE));

  const again = new Host(halted, new Shelf(), new Random(2), "again");
  again.expectRestarted();
  again.expectRefusedUntilPositioned();
  again.expectPositions(model);
  again.writeBlocks(model, 10, 65536);
  again.writeFilemark(model);
  again.close();
  model.check(gateway.cartridgePath(BARCODE));
});

test("RED-15: a drive that failed stays out after restarts, until it is returned", async () => {
  const gateway = gatewayOf();
  const facts = await gateway.start(["drive 1: on write 20: hardware error"]);
  const { host, model } = writeFiles(facts, 60);
  host.close();
  expect(failedDrives(await statusOf(facts))).toEqual([1]);
  await gateway.kill();

  let again = await gateway.start();
  expect(failedDrives(await statusOf(again))).toEqual([1]);
  expect((await statusOf(again)).devices[0]?.drive?.id).toBe(2);
  model.check(gateway.cartridgePath(BARCODE));
  const child = Bun.spawn(
    [process.execPath, "src/main.ts", "drive", "return", "1", "--http", again.httpUrl],
    { cwd: join(import.meta.dir, "..", ".."), stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  expect(await child.exited).toBe(0);
  await gateway.kill();
  again = await gateway.start();
  expect((await statusOf(again)).drives.map(({ id, state }) => [id, state])).toEqual([
    [1, "spare"],
    [2, "coupled"],
  ]);
});

/** Whether a tick comes between is not ours to say here: src/app/device-desk.test.ts has it. */
test("RED-09, RED-10: a drive that fails right behind a restart is no reason for BUSY, however much was drained", async () => {
  const gateway = gatewayOf({ cacheMegabytes: 64, paceMegabytesPerSecond: 20 });
  const first = writeFiles(await gateway.start(), 4);
  first.host.writeBlocks(first.model, 840, 65536); // behind the drive by most of what the cache holds
  await gateway.kill();
  first.host.close();

  gateway.shape.paceMegabytesPerSecond = 0;
  const facts = await gateway.start();
  first.model.check(gateway.cartridgePath(BARCODE));
  const host = new Host(facts, new Shelf(), new Random(2), "again");
  host.expectRestarted();
  host.expectPositions(first.model);
  await fetch(`${facts.httpUrl}/api/v1/drives/1/fault`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ rule: "on write 2: hardware error" }),
  });
  host.writeBlocks(first.model, 60, 65536, 4);
  host.writeFilemark(first.model);
  host.close();
  expect(failedDrives(await statusOf(facts))).toEqual([1]);
  await gateway.kill();
  first.model.check(gateway.cartridgePath(BARCODE));
});

test("SIGTERM twice quits at once and says what is not on tape; the next start writes it", async () => {
  const gateway = gatewayOf({ paceMegabytesPerSecond: 1 });
  const { host, model } = writeFiles(await gateway.start(), 4);
  host.writeBlocks(model, 80, 65536);
  gateway.terminate();
  await Bun.sleep(300);
  gateway.terminate();
  expect(await exitOf(gateway)).toBe(EXIT.notOnTape);
  host.close();
  expect(gateway.printed()).toMatch(
    /"event":"stopped","notOnTape":\[\{"device":"drive-1","bytesNotOnTape":\d{6,}/,
  );
  await gateway.start();
  model.check(gateway.cartridgePath(BARCODE));
});

/** The host is held while no spare is there, instead of being told. */
function writeNoSpareHold(gateway: Gateway): void {
  gateway.moreDeviceSettings = 'noSpare = "hold"\n';
}
