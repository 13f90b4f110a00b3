import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  isMalformed,
  type Malformed,
  parseBarcode,
  parseDeviceName,
  parseDriveId,
  parseSerialNumber,
} from "../base/brands.ts";
import { ManualClock } from "../base/clock.ts";
import type { NewEvent } from "../base/events.ts";
import { type Catalog, openCatalog } from "./catalog.ts";

const opened: Catalog[] = [];
const directories: string[] = [];
afterEach(() => {
  for (const catalog of opened.splice(0)) catalog.close();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function open(path = ":memory:", clock = new ManualClock()): Catalog {
  const outcome = openCatalog(path, clock);
  if (outcome.kind !== "open") throw new Error(outcome.text);
  opened.push(outcome.catalog);
  return outcome.catalog;
}

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), "understudy-catalog-"));
  directories.push(directory);
  return join(directory, "catalog.db");
}

function good<T>(value: T | Malformed): T {
  if (isMalformed(value)) throw new Error(value.expected);
  return value;
}

const DRIVE = good(parseDriveId(1));
const SERIAL = good(parseSerialNumber("UNDD000001"));

function event(transition: string, device: string | null = null): NewEvent {
  return {
    kind: "house",
    severity: "info",
    device,
    transition,
    text: "it happened",
    evidence: { sense: [4, 64] },
  };
}

test("events are kept in order, listed after an id, by device, newest last", () => {
  const catalog = open();
  for (const name of ["a", "b", "c", "d"]) catalog.record(event(name, name === "b" ? "drive-1" : null));
  expect(catalog.list({ limit: 2 }).map((row) => row.transition)).toEqual(["c", "d"]);
  expect(catalog.list({ limit: 2, afterId: 1 }).map((row) => row.transition)).toEqual(["b", "c"]);
  expect(catalog.list({ limit: 9, device: "drive-1" }).map((row) => row.id)).toEqual([2]);
  expect(catalog.list({ limit: 1 })[0]?.evidence).toEqual({ sense: [4, 64] });
});

test("listeners hear an event after it is kept; one that throws keeps no other from hearing", () => {
  const catalog = open();
  const heard: number[] = [];
  catalog.subscribe(() => {
    throw new Error("deaf");
  });
  const stop = catalog.subscribe((row) =>
    heard.push(catalog.list({ limit: 1 })[0]?.id === row.id ? row.id : -1),
  );
  catalog.record(event("a"));
  stop();
  catalog.record(event("b"));
  expect(heard).toEqual([1]);
});

test("a failed drive stays out over a restart, until it is returned", () => {
  const path = temporary();
  const first = open(path);
  first.addScore(DRIVE, SERIAL, 2);
  first.markFailed(DRIVE, SERIAL, "hardware error", { key: 4 });
  first.markFailed(DRIVE, SERIAL, "a later word", {});
  first.close();
  opened.length = 0;
  const second = open(path);
  expect(second.failedDrives()).toMatchObject([
    { drive: 1, serial: "UNDD000001", failure: "hardware error" },
  ]);
  expect(second.returnDrive(SERIAL)).toBeTrue();
  expect(second.returnDrive(SERIAL)).toBeFalse();
  expect(second.failedDrives()).toEqual([]);
  expect(second.scoreOf(SERIAL)).toBe(0);
});

test("images and facts", () => {
  const catalog = open();
  const barcode = good(parseBarcode("UND001L8"));
  const image = catalog.beginImage({
    device: good(parseDeviceName("drive-1")),
    barcode,
    serial: null,
    identity: {},
  });
  catalog.updateImage(image.id, { whole: false, identity: { endOfData: 12 } });
  expect(catalog.imagesOf(barcode)).toMatchObject([
    { id: image.id, whole: false, identity: { endOfData: 12 } },
  ]);
  catalog.dropImage(image.id);
  expect(catalog.image(image.id)).toBeNull();
  catalog.setFact("coupling", { "drive-1": 1 });
  catalog.setFact("coupling", { "drive-1": 3 });
  expect(catalog.fact("coupling")).toEqual({ "drive-1": 3 });
  expect(catalog.fact("none")).toBeUndefined();
});

test("a catalog of a later program is refused and left as it is", () => {
  const path = temporary();
  open(path).close();
  opened.length = 0;
  const database = new Database(path);
  database.run("INSERT INTO catalog_version VALUES (999, 0)");
  database.close();
  expect(openCatalog(path, new ManualClock())).toMatchObject({
    kind: "refused",
    text: expect.stringContaining("later understudy"),
  });
});

test("a file that is no database is refused with its name", () => {
  const path = temporary();
  writeFileSync(path, "not a database, but long enough to be looked at as one".repeat(100));
  expect(openCatalog(path, new ManualClock())).toMatchObject({
    kind: "refused",
    text: expect.stringContaining(path),
  });
});

test("an event that cannot be written down (a full disk) stops nobody: it is told without a number", () => {
  const path = temporary();
  const catalog = open(path);
  catalog.record(event("before"));
  const full = new Database(path);
  full.run("DROP TABLE events");
  full.close();
  expect(catalog.record(event("after"))).toMatchObject({ id: 0, transition: "after" });
});
