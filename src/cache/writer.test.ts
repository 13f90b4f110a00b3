import { expect, test } from "bun:test";
import { CACHED, CHECKPOINT, DURABLE, ON_TAPE, RECEIVED, WANT_DURABLE } from "../../wasm/ring/layout.ts";
import { EIO } from "../base/ffi.ts";
import { ModelJournal, TestBench } from "./testing.ts";
import { CacheWriter, type Cursors } from "./writer.ts";

/** A writer over plain cursors; the journal's bytes are random stripes. */
function fixture(bench: TestBench) {
  const values = new Map<number, number>();
  const cursors: Cursors = {
    get: (at) => values.get(at) ?? 0,
    set: (at, value) => void values.set(at, value),
  };
  const array = bench.open();
  const state = { places: true };
  const tapePlace = (into: { J: number; sequence: number; image: number; position: number }) => {
    into.J = cursors.get(ON_TAPE);
    into.sequence = into.J / 512;
    into.image = 1;
    into.position = 2;
    return state.places;
  };
  const writer = new CacheWriter({ array, cursors, tapePlace }, 0);
  const model = new ModelJournal(bench, 1);
  const receive = (stripes: number, more = 0) => {
    for (let left = stripes; left > 0; ) left -= model.fill(left);
    cursors.set(RECEIVED, model.headJ + more);
  };
  const run = () => {
    for (let steps = 0; steps < 1000; steps++) {
      const step = writer.step();
      if (step !== "worked") return step.waitFor;
    }
    throw new Error("the writer never rests");
  };
  return { array, cursors, writer, model, receive, run, state };
}

test("rule 9: only whole stripes are written; the Worker is told what to wait for", () => {
  using bench = new TestBench();
  const { cursors, receive, run, array } = fixture(bench);
  expect(run()).toBe(bench.stripeBytes);
  receive(2, 512);
  expect(run()).toBe(3 * bench.stripeBytes);
  expect(cursors.get(CACHED)).toBe(2 * bench.stripeBytes);
  expect(cursors.get(DURABLE)).toBe(0);
  expect(array.headJ).toBe(2 * bench.stripeBytes);
});

test("rule 9: a barrier is durable after fdatasync on every member, and not before", () => {
  using bench = new TestBench();
  const { cursors, receive, run, writer } = fixture(bench);
  receive(3);
  run();
  const syncs = bench.faults.seen.fdatasync;
  cursors.set(WANT_DURABLE, 2 * bench.stripeBytes);
  expect(writer.step()).toBe("worked");
  expect(bench.faults.seen.fdatasync - syncs).toBe(4);
  expect(cursors.get(DURABLE)).toBe(3 * bench.stripeBytes);
  // Wanted, but its stripe is not full yet: no sync is wasted, and the writer rests.
  cursors.set(WANT_DURABLE, 5 * bench.stripeBytes);
  const before = bench.faults.seen.fdatasync;
  expect(run()).toBe(4 * bench.stripeBytes);
  expect(bench.faults.seen.fdatasync).toBe(before);
});

test("rule 10: the head never passes the checkpoint by more than the cache; the tape's progress makes room", () => {
  using bench = new TestBench({ laps: 2 });
  const { cursors, receive, run } = fixture(bench);
  receive(8);
  run();
  receive(8);
  run();
  expect(cursors.get(CACHED)).toBe(bench.cacheBytes);
  receive(1);
  expect(run()).toBe(Number.POSITIVE_INFINITY);
  expect(cursors.get(CACHED)).toBe(bench.cacheBytes);
  cursors.set(ON_TAPE, bench.stripeBytes - 512); // not a whole stripe: still no room
  run();
  expect(cursors.get(CACHED)).toBe(bench.cacheBytes);
  expect(cursors.get(CHECKPOINT)).toBe(bench.stripeBytes - 512);
  cursors.set(ON_TAPE, bench.stripeBytes);
  run();
  expect(cursors.get(CACHED)).toBe(bench.cacheBytes + bench.stripeBytes);
});

test("rule 10: checkpoints follow the tape, an eighth of the cache at a time, and make what is written durable", () => {
  using bench = new TestBench();
  const { cursors, receive, run, array } = fixture(bench);
  const eighth = bench.cacheBytes / 8;
  receive(6);
  cursors.set(ON_TAPE, eighth - 512);
  run();
  expect(array.readCheckpoint()).toBeNull();
  cursors.set(ON_TAPE, eighth);
  run();
  expect(array.readCheckpoint()).toMatchObject({
    generation: 1,
    J: eighth,
    sequence: eighth / 512,
    image: 1,
  });
  expect(cursors.get(CHECKPOINT)).toBe(eighth);
  receive(1);
  run();
  cursors.set(ON_TAPE, 2 * eighth);
  run();
  expect(cursors.get(DURABLE)).toBe(7 * bench.stripeBytes);
});

test("a checkpoint waits while the tape's place is being changed; an asked one is not forgotten", () => {
  using bench = new TestBench();
  const { writer, run, array, state } = fixture(bench);
  state.places = false;
  writer.setImageIdentity('{"barcode":"UND003L8"}');
  expect(writer.checkpointNow()).toBe(false);
  run();
  expect(array.readCheckpoint()).toBeNull();
  state.places = true;
  run();
  expect(array.readCheckpoint()).toMatchObject({ J: 0, identity: '{"barcode":"UND003L8"}' });
  expect(writer.checkpointNow()).toBe(true);
  expect(() => writer.setImageIdentity("x".repeat(2049))).toThrow("too long");
});

test("RED-03: a lost array moves no cursor any more; degraded, they go on", () => {
  using bench = new TestBench();
  const { cursors, receive, run, array } = fixture(bench);
  bench.faults.on("pwritev", 1, 1, -EIO);
  receive(2);
  run();
  expect(array.state).toBe("degraded");
  expect(cursors.get(CACHED)).toBe(2 * bench.stripeBytes);
  bench.faults.on("pwritev", 0, 1, -EIO);
  receive(2);
  cursors.set(WANT_DURABLE, 4 * bench.stripeBytes);
  cursors.set(ON_TAPE, 4 * bench.stripeBytes);
  // The checkpoint of what is on tape came first and made the first two durable; the next two never count.
  expect(run()).toBe(Number.POSITIVE_INFINITY);
  expect(array.state).toBe("lost");
  expect(cursors.get(CACHED)).toBe(2 * bench.stripeBytes);
  expect(cursors.get(DURABLE)).toBeLessThanOrEqual(2 * bench.stripeBytes);
});

test("RED-03: a rebuild goes on between stripes and when there is nothing else to do", () => {
  using bench = new TestBench({ stripBytes: 256 * 1024, laps: 8 });
  const { cursors, receive, run, array, writer } = fixture(bench);
  receive(8);
  run();
  receive(8);
  run();
  array.failMember(2);
  array.replaceMember(2, bench.paths[2]!);
  receive(4);
  expect(writer.step()).toBe("worked");
  expect(array.health().rebuild?.doneBytes).toBeGreaterThan(0);
  run();
  expect(array.state).toBe("healthy");
  expect(cursors.get(CACHED)).toBe(20 * bench.stripeBytes);
});

test("an orderly stop writes what is whole and where the tape is, and does not wait for a rebuild", () => {
  using bench = new TestBench();
  const { cursors, receive, run, array, writer } = fixture(bench);
  receive(3);
  run();
  array.failMember(2);
  array.replaceMember(2, bench.paths[2]!);
  receive(4, 512);
  cursors.set(ON_TAPE, 512);
  writer.finish();
  expect(cursors.get(DURABLE)).toBe(7 * bench.stripeBytes);
  expect(array.readCheckpoint()).toMatchObject({ J: 512, sequence: 1 });
  expect(array.health().rebuild?.doneBytes).toBe(0);
});

test("RED-21, RED-22: an image that is to go to another cartridge pins the journal from its beginning again", () => {
  using bench = new TestBench({ laps: 2 });
  const { cursors, receive, run, writer, array } = fixture(bench);
  receive(8);
  run();
  receive(4);
  cursors.set(ON_TAPE, 8 * bench.stripeBytes);
  run();
  expect(writer.checkpointNow()).toBe(true);
  expect(cursors.get(CHECKPOINT)).toBe(8 * bench.stripeBytes);
  const place = { J: 2 * bench.stripeBytes, sequence: 7, image: 1, position: 0 };
  expect(writer.restartFrom(place)).toBe(true);
  cursors.set(ON_TAPE, place.J);
  expect(array.readCheckpoint()).toMatchObject(place);
  expect(cursors.get(CHECKPOINT)).toBe(place.J);
  // The head stops a cache's length behind it.
  receive(4);
  run();
  receive(8);
  run();
  expect(cursors.get(CACHED)).toBe(place.J + bench.cacheBytes);
  // What the head has passed, or may have, is not whole any more.
  expect(writer.restartFrom({ ...place, J: bench.stripeBytes })).toBe(false);
  expect(writer.restartFrom({ ...place, J: cursors.get(RECEIVED) + 512 })).toBe(false);
});
