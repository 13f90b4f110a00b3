import { afterEach, expect, test } from "bun:test";
import { ManualClock } from "../base/clock.ts";
import type { NewEvent } from "../base/events.ts";
import { statusSchema } from "../base/status.ts";
import { type Catalog, openCatalog } from "../catalog/catalog.ts";
import { createHttp, type HttpPorts, morning, type RetryOrder, serveHttp } from "./http.ts";
import { deviceFixture, driveFixture, statusFixture } from "./status.fixture.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Heard {
  rules: string[];
  returned: number[];
  retries: RetryOrder[];
}

function house(token: string | null = null, host = "127.0.0.1") {
  const outcome = openCatalog(":memory:", new ManualClock());
  if (outcome.kind !== "open") throw new Error(outcome.text);
  const catalog: Catalog = outcome.catalog;
  const heard: Heard = { rules: [], returned: [], retries: [] };
  const ports: HttpPorts = {
    status: () => statusFixture(),
    library: () => ({
      kind: "file",
      virtual: [{ address: 1000, kind: "slot", number: 1, barcode: "UND001L8" }],
      real: [],
    }),
    events: catalog,
    injectFault(drive, rule) {
      if (drive > 3) return { kind: "notFound", text: `there is no drive ${drive}` };
      if (!rule.startsWith("on ")) return { kind: "malformed", text: "expected on write N: ..." };
      heard.rules.push(`${drive}: ${rule}`);
      return { kind: "done", text: `drive ${drive} will fail ${rule}` };
    },
    clearFaults: (drive) => ({ kind: "done", text: `drive ${drive} has no faults` }),
    returnDrive(drive) {
      heard.returned.push(drive);
      return drive === 1
        ? { kind: "conflict", text: "drive 1 has not failed" }
        : { kind: "done", text: "back" };
    },
    replaceCacheDisk: ({ device, member }) =>
      member === 1
        ? { kind: "conflict", text: `member 1 of ${device} is in use` }
        : { kind: "done", text: "being rebuilt" },
    addCartridge: ({ barcode }) => ({ kind: "done", text: `${barcode ?? "UND009L8"} is new` }),
    exportCartridge: (barcode) => ({ kind: "notFound", text: `there is no cartridge ${barcode}` }),
    importCartridge: (barcode) => ({ kind: "done", text: `${barcode} is back` }),
    operatorRetry(order) {
      heard.retries.push(order);
      return { kind: "done", text: "it goes on" };
    },
  };
  const http = createHttp(ports, { host, token });
  closing.push(
    () => catalog.close(),
    () => http.close(),
  );
  const ask = (path: string, init: RequestInit = {}, headers: Record<string, string> = {}) =>
    http.app.request(`http://127.0.0.1:8700${path}`, {
      ...init,
      headers: {
        host: "127.0.0.1:8700",
        ...(init.body ? { "content-type": "application/json" } : {}),
        ...headers,
      },
    });
  return { ask, catalog, heard, ports };
}

function event(transition: string): NewEvent {
  return {
    kind: "transition",
    severity: "info",
    device: "drive-1",
    transition,
    text: "so it is",
    evidence: {},
  };
}

test("RED-07: the status shows the virtual serial and the real drive's serial", async () => {
  const answer = await house().ask("/api/v1/status");
  const status = statusSchema.parse(await answer.json());
  expect(status.devices[0]).toMatchObject({ serial: "UNDV000001", drive: { id: 1, serial: "UNDD000001" } });
  expect(status.morning).toEqual([]);
});

test("the morning list: what failed, what is owed, what to do, alarms first", () => {
  const items = morning(
    statusFixture({
      devices: [
        deviceFixture({ state: "Replaying", owedFilemarks: 3 }),
        deviceFixture({ name: "drive-2", state: "Halted", reason: "no spare" }),
      ],
      drives: [
        driveFixture({ state: "failed", device: null, failure: { atMs: 1, text: "hardware error 4/4400" } }),
      ],
    }),
  );
  expect(items.map((item) => item.severity)).toEqual(["alarm", "alarm", "warning"]);
  expect(items.map((item) => item.todo).join()).toContain("understudy drive return 1");
  expect(items.map((item) => item.todo).join()).toContain("understudy retry drive-2");
  expect(items.map((item) => item.text).join()).toContain("owes the tape 3 filemarks and 500 MB");
});

test("RED-08: the morning list says which label is to be moved, and which slot the replacement came from", () => {
  const [item] = morning(
    statusFixture({
      standIns: [
        {
          label: "UND001L8",
          failedIn: "drive 1",
          replacement: "UND008L8",
          replacementIn: "slot 1",
          fromSlot: 8,
          reason: "corrupt",
          atMs: 1,
        },
      ],
    }),
  );
  expect(item?.text).toContain("UND001L8 has failed (corrupt) and lies in drive 1; UND008L8 from slot 8");
  expect(item?.todo).toContain("move the label UND001L8 from the failed cartridge to UND008L8");
});

test("orders: done, no such drive, not in this state, malformed", async () => {
  const { ask, heard } = house();
  const post = (path: string, body: unknown) => ask(path, { method: "POST", body: JSON.stringify(body) });
  const done = await post("/api/v1/drives/1/fault", { rule: "on write 400: hardware error" });
  expect([done.status, await done.json()]).toEqual([
    200,
    { text: "drive 1 will fail on write 400: hardware error" },
  ]);
  expect((await post("/api/v1/drives/9/fault", { rule: "on write 1: hang" })).status).toBe(404);
  expect((await post("/api/v1/drives/x/fault", { rule: "on write 1: hang" })).status).toBe(404);
  expect((await post("/api/v1/drives/1/fault", { rule: "whenever" })).status).toBe(422);
  expect((await post("/api/v1/drives/1/fault", { rules: 1 })).status).toBe(422);
  expect((await ask("/api/v1/drives/1/fault", { method: "DELETE" })).status).toBe(200);
  expect((await ask("/api/v1/drives/1/return", { method: "POST" })).status).toBe(409);
  expect((await ask("/api/v1/drives/3/return", { method: "POST" })).status).toBe(200);
  expect((await post("/api/v1/operator/retry", { device: "drive-1", drive: 3 })).status).toBe(200);
  expect((await post("/api/v1/operator/retry", { device: "Drive 1" })).status).toBe(422);
  expect(heard).toMatchObject({
    rules: ["1: on write 400: hardware error"],
    returned: [1, 3],
    retries: [{ device: "drive-1", drive: 3, cartridge: null }],
  });
});

test("errors are problem+json with a detail", async () => {
  const answer = await house().ask("/api/v2/nothing");
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(await answer.json()).toEqual({
    type: "about:blank",
    title: "There is no such thing",
    status: 404,
    detail: "GET /api/v2/nothing is not served here",
  });
});

test("a body that is no JSON, not said to be JSON, or too large is refused", async () => {
  const { ask } = house();
  const path = "/api/v1/drives/1/fault";
  expect((await ask(path, { method: "POST", body: "{" })).status).toBe(400);
  expect((await ask(path, { method: "POST", body: "{}" }, { "content-type": "text/plain" })).status).toBe(
    415,
  );
  expect((await ask(path, { method: "POST", body: " ".repeat(20_000) })).status).toBe(413);
});

test("DNS rebinding: on loopback only loopback names in Host, and no foreign Origin", async () => {
  const { ask } = house();
  for (const [host, status] of [
    ["127.0.0.1:8700", 200],
    ["localhost:8700", 200],
    ["[::1]:8700", 200],
    ["evil.example:8700", 403],
    ["127.0.0.1.evil.example", 403],
    ["", 403],
  ] as const) {
    expect([host, (await ask("/api/v1/status", {}, { host })).status]).toEqual([host, status]);
  }
  expect((await ask("/api/v1/status", {}, { origin: "http://evil.example" })).status).toBe(403);
  expect((await ask("/api/v1/status", {}, { origin: "null" })).status).toBe(403);
  expect((await ask("/api/v1/status", {}, { origin: "http://127.0.0.1:8700" })).status).toBe(200);
});

test("a token, where one is set, is asked of every request", async () => {
  const { ask } = house("0123456789abcdef", "0.0.0.0");
  expect((await ask("/api/v1/status", {}, { host: "gateway:8700" })).status).toBe(401);
  expect((await ask("/metrics", {}, { authorization: "Bearer wrong" })).status).toBe(401);
  expect((await ask("/api/v1/status", {}, { authorization: "Bearer 0123456789abcdef" })).status).toBe(200);
});

test("events: listed after an id, and malformed queries told", async () => {
  const { ask, catalog } = house();
  for (const name of ["a", "b", "c"]) catalog.record(event(name));
  const answer = await ask("/api/v1/events?after=1&limit=1");
  expect(await answer.json()).toMatchObject({ events: [{ id: 2, transition: "b" }] });
  expect((await ask("/api/v1/events?limit=0")).status).toBe(400);
  expect((await ask("/api/v1/events/stream?after=x")).status).toBe(400);
});

test("the stream begins after the asked id and goes on without gap or repeat", async () => {
  const { ask, catalog } = house();
  for (let count = 0; count < 450; count++) catalog.record(event(`past ${count}`));
  const answer = await ask("/api/v1/events/stream?after=40");
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let recorded = false;
  while (!text.includes("id: 453\n")) {
    const part = await reader?.read();
    text += decoder.decode(part?.value);
    if (!recorded && text.includes("id: 450\n")) {
      recorded = true;
      for (const name of ["x", "y", "z"]) catalog.record(event(name));
    }
  }
  await reader?.cancel();
  const ids = [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  expect(ids).toEqual(Array.from({ length: 413 }, (_, index) => 41 + index));
});

test("metrics are Prometheus text", async () => {
  const answer = await house().ask("/metrics");
  expect(await answer.text()).toContain('understudy_on_tape_bytes{device="drive-1"} 2500000000\n');
});

test("a taken port is told with what to do", async () => {
  const { ports } = house();
  const first = serveHttp(ports, { host: "127.0.0.1", port: 0, token: null });
  if (first.kind !== "serving") throw new Error(first.text);
  closing.push(() => first.stop());
  expect((await fetch(`${first.url}/api/v1/status`)).status).toBe(200);
  expect(serveHttp(ports, { host: "127.0.0.1", port: first.port, token: null })).toEqual({
    kind: "refused",
    text: `the API's port 127.0.0.1:${first.port} is taken; stop who has it, or name another: --http HOST:PORT`,
  });
});
