import { expect, test } from "bun:test";
import * as at from "../../wasm/ring/layout.ts";
import { isMalformed, parseDriveId } from "../base/brands.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { HangWatch } from "./hang-watch.ts";

const MIB = 1024 * 1024;
const drive = parseDriveId(1);
if (isMalformed(drive)) throw new Error("drive 1");

test("rule 8: a call beyond its limit is seen, and what it may still read is pinned until it has come back", () => {
  const memory = DeviceMemory.create({ ringBytes: 8 * MIB, stripeBytes: 512 * 1024, cacheBytes: 32 * MIB });
  const watch = new HangWatch(memory);
  memory.setWord(at.CACHE_STATE, at.CACHE_HEALTHY);
  memory.ring.claim(0);
  const first = memory.ring.reserve(4608);
  memory.ring.append(first, at.KIND_BLOCK, 0, 1, 0, 0, 4096, 1, 0, 0);
  const second = memory.ring.reserve(9728);
  memory.ring.append(second, at.KIND_BLOCK, 0, 1, 1, 0, 9216, 1, 0, 0);
  memory.set(at.TAKEN, second);

  expect(watch.look(drive, 1e6)).toBe(0); // in no call
  memory.setFigure(at.DRIVE_CALL_SINCE_MS, 1000);
  expect(watch.look(drive, 1e6)).toBe(0); // a call that may take for ever
  memory.setFigure(at.DRIVE_CALL_LIMIT_MS, 60_000);
  expect(watch.look(drive, 61_000)).toBe(0);
  expect(memory.get(at.HUNG_BYTES)).toBe(0);
  expect(watch.look(drive, 61_001)).toBe(60_001);
  expect([memory.get(at.HUNG_AT), memory.get(at.HUNG_BYTES)]).toEqual([second, 9728]);

  watch.giveUp();
  expect(memory.word(at.FOLLOW_EPOCH)).toBe(1);
  expect(watch.look(drive, 1e6)).toBe(0); // the next drive is not blamed for it
  watch.ended(drive);
  expect(memory.get(at.HUNG_BYTES)).toBe(0);
});
