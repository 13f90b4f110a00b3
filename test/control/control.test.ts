/** @module The command line against the API, over loopback, with a real catalog: what crosses the two floors. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { ManualClock } from "../../src/base/clock.ts";
import type { NewEvent } from "../../src/base/events.ts";
import { statusSchema } from "../../src/base/status.ts";
import { type Catalog, openCatalog } from "../../src/catalog/catalog.ts";
import { createCli } from "../../src/cli/cli.ts";
import { type HttpPorts, serveHttp } from "../../src/http/http.ts";
import { deviceFixture, driveFixture, statusFixture } from "../../src/http/status.fixture.ts";

const TOKEN = "0123456789abcdef";
const closing: (() => unknown)[] = [];
let url = "";
let catalog: Catalog;
let orders: string[] = [];

beforeEach(() => {
  orders = [];
  const opened = openCatalog(":memory:", new ManualClock());
  if (opened.kind !== "open") throw new Error(opened.text);
  catalog = opened.catalog;
  const ports: HttpPorts = {
    status: () =>
      statusFixture({
        devices: [deviceFixture({ drive: { id: 3, serial: "UNDD000003" } })],
        drives: [driveFixture({ state: "failed", failure: { atMs: 1, text: "hardware error" } })],
      }),
    library: () => ({ kind: "file", virtual: [], real: [] }),
    events: catalog,
    injectFault(drive, rule) {
      orders.push(`fault ${drive} ${rule}`);
      return rule === "nonsense"
        ? { kind: "malformed", text: "expected: on write N: hardware error" }
        : { kind: "done", text: "it will" };
    },
    clearFaults: () => ({ kind: "done", text: "none" }),
    returnDrive: (drive) => ({ kind: "conflict", text: `drive ${drive} has not failed` }),
    replaceCacheDisk({ device, member }) {
      orders.push(`replace ${device} ${member}`);
      return { kind: "done", text: "being rebuilt" };
    },
    addCartridge: ({ barcode }) => ({ kind: "done", text: `${barcode ?? "UND009L8"} is new` }),
    exportCartridge: (barcode) => ({ kind: "notFound", text: `there is no cartridge ${barcode}` }),
    importCartridge: (barcode) => ({ kind: "done", text: `${barcode} is back` }),
    operatorRetry(order) {
      orders.push(JSON.stringify(order));
      return { kind: "done", text: "it goes on" };
    },
  };
  const server = serveHttp(ports, { host: "127.0.0.1", port: 0, token: TOKEN });
  if (server.kind !== "serving") throw new Error(server.text);
  url = server.url;
  closing.push(
    () => catalog.close(),
    () => server.stop(),
  );
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function cli(token: string | undefined = TOKEN) {
  const said = { out: "", err: "" };
  let stop = () => {};
  const made = createCli({
    version: "0.1.0",
    startServer: async () => ({ kind: "refused", text: "not here" }),
    cartridges: async () => ({
      list: () => [],
      read: () => [],
      change: async () => ({ kind: "failed", text: "no library" }),
    }),
    doctor: async () => ({ worst: "good", findings: [] }),
    spawnWorker: () => {
      throw new Error("no Worker is made here");
    },
    demo: async () => 0,
    console: {
      out: (text) => {
        said.out += text;
      },
      outBytes: () => true,
      err: (text) => {
        said.err += text;
      },
      terminal: false,
      environment: { UNDERSTUDY_HTTP: url, UNDERSTUDY_TOKEN: token },
      onStopSignal(listener) {
        stop = () => listener("SIGINT");
        return () => {};
      },
    },
  });
  return { run: (...args: string[]) => made.run(args), said, stop: () => stop() };
}

function event(transition: string): NewEvent {
  return {
    kind: "transition",
    severity: "alarm",
    device: "drive-1",
    transition,
    text: "so it is",
    evidence: {},
  };
}

test("RED-07: status shows the virtual drive, the real drive behind it and the real serial; --json is the document", async () => {
  const { run, said } = cli();
  expect(await run("status")).toBe(0);
  expect(said.out).toMatch(/drive-1 .*UNDV000001 .*3 \(UNDD000003\)/);
  expect(said.out).toContain("understudy drive return 1");
  const json = cli();
  await json.run("status", "--json");
  expect(statusSchema.parse(JSON.parse(json.said.out)).morning).toHaveLength(1);
});

test("orders reach the server; its refusals come back as one line", async () => {
  const done = cli();
  expect(await done.run("drive", "fault", "1", "on write 400: hardware error")).toBe(0);
  expect(await done.run("retry", "drive-1", "--drive", "3")).toBe(0);
  expect(await done.run("cache", "replace", "drive-1", "2")).toBe(0);
  expect(done.said.out).toBe("it will\nit goes on\nbeing rebuilt\n");
  expect(orders).toEqual([
    "fault 1 on write 400: hardware error",
    '{"device":"drive-1","drive":3,"cartridge":null}',
    "replace drive-1 2",
  ]);
  const refused = cli();
  expect(await refused.run("drive", "return", "1")).toBe(1);
  expect(await refused.run("drive", "fault", "1", "nonsense")).toBe(1);
  expect(refused.said.err).toBe(
    "understudy: drive 1 has not failed\nunderstudy: expected: on write N: hardware error\n",
  );
});

test("without the token: what to do", async () => {
  const { run, said } = cli("");
  expect(await run("status")).toBe(1);
  expect(said.err).toContain("set UNDERSTUDY_TOKEN");
});

test("events --follow: what was, then what is, until it is told to stop", async () => {
  catalog.record(event("past"));
  const { run, said, stop } = cli();
  const ended = run("events", "--follow", "--json");
  while (!said.out.includes("past")) await Bun.sleep(5);
  await Bun.sleep(50);
  catalog.record(event("present"));
  while (!said.out.includes("present")) await Bun.sleep(5);
  stop();
  expect(await ended).toBe(0);
  expect(
    said.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).id),
  ).toEqual([1, 2]);
});
