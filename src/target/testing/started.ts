/** @module A target with one fake unit on loopback, and a client at it; `closeStarted` belongs into afterEach. */
import { expect } from "bun:test";
import * as pdu from "../../iscsi/pdu.ts";
import { Target, type TargetOptions } from "../front-loop.ts";
import { TARGET, TestClient } from "./client.ts";
import { FakeUnit } from "./fake-unit.ts";

export const opened: { close(): void }[] = [];

export function closeStarted(): void {
  for (const each of opened.splice(0).reverse()) each.close();
}

export function start(options: Partial<TargetOptions> = {}): {
  target: Target;
  unit: FakeUnit;
  connect: () => TestClient;
} {
  const unit = new FakeUnit();
  const units = new Map([[0, unit]]);
  const target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units, ...options });
  opened.push({ close: () => target.stop() });
  const connect = (): TestClient => {
    const client = new TestClient(target);
    opened.push(client);
    return client;
  };
  return { target, unit, connect };
}

export function session(options: Partial<TargetOptions> = {}) {
  const started = start(options);
  const client = started.connect();
  expect(client.login().field(pdu.AT_LOGIN_STATUS) >>> 16).toBe(0);
  return { ...started, client };
}

export function pattern(bytes: number, seed = 1): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let index = 0; index < bytes; index++) data[index] = (index * 31 + seed * 7 + (index >>> 8)) & 255;
  return data;
}

export const equal = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;
