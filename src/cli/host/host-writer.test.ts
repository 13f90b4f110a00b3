import { expect, test } from "bun:test";
import { CommandReply } from "../../base/command-reply.ts";
import { STATUS_BUSY } from "../../scsi/unit/task.ts";
import type { HostQueue } from "./host-port.ts";
import { HostWriter } from "./host-writer.ts";

const EARLY_WARNING = Uint8Array.of(0x70, 0, 0x40, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0);
const MEDIUM_ERROR = Uint8Array.of(0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0);

type Answer = "good" | "busy" | "early" | "error" | "lost";

/** A drive that answers by a list, then GOOD for ever; keeps the addresses and lengths that it was given. */
function scripted(answers: Answer[]) {
  const sent: { address: number; bytes: number }[] = [];
  const replies = Array.from({ length: 8 }, () => new CommandReply());
  const waiting: number[] = [];
  const done: number[] = [];
  const free = [7, 6, 5, 4, 3, 2, 1, 0];
  let marks = 0;
  const answer = (reply: CommandReply) => {
    const what = answers.shift() ?? "good";
    reply.reached = what !== "lost";
    reply.status = what === "busy" ? STATUS_BUSY : what === "early" || what === "error" ? 2 : 0;
    const sense = what === "early" ? EARLY_WARNING : MEDIUM_ERROR;
    reply.sense.set(sense);
    reply.senseBytes = sense.length;
  };
  const queue: HostQueue = {
    execute(_lun, _cdb, _direction, _address, _bytes, _timeoutMs, reply) {
      answer(reply);
      marks++;
    },
    submit(_lun, _cdb, _direction, address, bytes) {
      const place = free.pop() ?? -1;
      sent.push({ address, bytes });
      waiting.push(place);
      return place;
    },
    serve() {
      const place = waiting.shift();
      if (place === undefined) return;
      answer(replies[place] ?? new CommandReply());
      done.push(place);
    },
    reap() {
      const place = done.shift() ?? -1;
      if (place >= 0) free.push(place);
      return place;
    },
    replyOf: (place) => replies[place] ?? new CommandReply(),
  };
  return { queue, sent, marks: () => marks };
}

test("at most depth blocks wait; a block's memory is not used again before its answer", () => {
  const { queue, sent } = scripted([]);
  const writer = new HostWriter(queue, { lun: 0, blockBytesMax: 100, depth: 3 });
  for (let number = 0; number < 10; number++) {
    writer.block().fill(number);
    expect(writer.write(90 + number)).toBe(true);
    expect(writer.waiting).toBeLessThanOrEqual(3);
  }
  expect(writer.drain()).toBe(true);
  expect(sent.map(({ bytes }) => bytes)).toEqual([90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
  expect(new Set(sent.slice(0, 4).map(({ address }) => address)).size).toBe(4);
  expect(writer).toMatchObject({ blocks: 10, bytes: 945, hostErrors: 0 });
});

test("RED-10: BUSY is asked again with the same block, and is no error", () => {
  const { queue, sent, marks } = scripted(["good", "busy", "busy", "good", "busy"]);
  const writer = new HostWriter(queue, { lun: 0, blockBytesMax: 100 });
  for (let number = 0; number < 2; number++) writer.write(10 + number);
  expect(writer.drain()).toBe(true);
  expect(sent.map(({ bytes }) => bytes)).toEqual([10, 11, 11, 11]);
  expect(new Set(sent.slice(1).map(({ address }) => address)).size).toBe(1);
  expect(writer.filemarks(1)).toBe(true);
  expect(marks()).toBe(2);
  expect(writer).toMatchObject({ blocks: 2, busy: 3, hostErrors: 0 });
});

test("early warning is no error: the block was written", () => {
  const { queue } = scripted(["early"]);
  const writer = new HostWriter(queue, { lun: 0, blockBytesMax: 100 });
  writer.write(10);
  expect(writer.drain()).toBe(true);
  expect(writer).toMatchObject({ blocks: 1, earlyWarning: true, hostErrors: 0 });
});

for (const failure of ["error", "lost"] as const) {
  test(`${failure}: nothing is sent after it, no filemark either`, () => {
    const { queue, sent, marks } = scripted(["good", failure]);
    const writer = new HostWriter(queue, { lun: 0, blockBytesMax: 100 });
    expect([1, 2, 3, 4].map((bytes) => writer.write(bytes))).toEqual([true, true, false, false]);
    expect(writer.filemarks(1)).toBe(false);
    expect(sent).toHaveLength(2);
    expect(marks()).toBe(0);
    expect(writer).toMatchObject({ blocks: 1, hostErrors: 1 });
    expect(writer.error?.kind).toBe(failure === "lost" ? "unreached" : "checkCondition");
  });
}
