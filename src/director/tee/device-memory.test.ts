import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { checked, libc } from "../../base/ffi.ts";
import { signal } from "./device-memory.ts";

test("a wake-up still wakes after the collector ran", () => {
  const kept: BigUint64Array[] = [];
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 20_000; n++) {
      const other = new BigUint64Array([0n]);
      if (n % 100 === 0) kept.push(other);
    }
    Bun.gc(true);
  }
  const eventfd = checked(libc.eventfd(0, 0o4000));
  const counter = new BigUint64Array(new ArrayBuffer(8));
  signal(eventfd);
  expect(libc.read(eventfd, Number(ptr(counter)), 8)).toBe(8);
  expect(counter[0]).toBe(1n);
  libc.close(eventfd);
});
