import { describe, expect, test } from "bun:test";
import {
  CACHE_DEGRADED,
  CACHE_HEALTHY,
  CACHE_LOST,
  CACHE_NONE,
  FLOW_BUSY,
  FLOW_NORMAL,
  FLOW_REDUCED,
  FLOW_REPORT,
  FLOW_SUSPENDED,
} from "../../wasm/ring/layout.ts";
import {
  ACKNOWLEDGEMENT_WORDS,
  COMMAND_BARRIER,
  COMMAND_FILEMARKS_IMMEDIATE,
  COMMAND_POSITION,
  COMMAND_REWIND,
  COMMAND_UNLOAD,
  COMMAND_WRITE,
  COMMAND_WRITE_UNBUFFERED,
  isOwed,
  type Marks,
  mayAcknowledge,
} from "./acknowledge.ts";

const END = 1000;
const nothing: Marks = { received: 0, durable: 0, taken: 0, onTape: 0 };
const received: Marks = { ...nothing, received: END };
const durable: Marks = { ...received, durable: END };
const taken: Marks = { ...received, taken: END };
const onTape: Marks = { ...taken, onTape: END };
const all: Marks = { ...onTape, durable: END };

function ask(command: number, marks: Marks, flow: number = FLOW_NORMAL, cache: number = CACHE_HEALTHY) {
  return ACKNOWLEDGEMENT_WORDS[mayAcknowledge(command, END, marks, flow, cache)];
}

describe("RED-02, DESIGN: when may GOOD be sent", () => {
  test("WRITE, buffered mode 1: when it is in the ring", () => {
    expect(ask(COMMAND_WRITE, nothing)).toBe("wait: received");
    expect(ask(COMMAND_WRITE, received)).toBe("good");
    for (const flow of [FLOW_REDUCED, FLOW_BUSY]) expect(ask(COMMAND_WRITE, received, flow)).toBe("good");
  });

  test("WRITE, buffered mode 0: cached and on tape; during failover: cached", () => {
    expect(ask(COMMAND_WRITE_UNBUFFERED, received)).toBe("wait: durable and on tape");
    expect(ask(COMMAND_WRITE_UNBUFFERED, durable)).toBe("wait: on tape");
    expect(ask(COMMAND_WRITE_UNBUFFERED, onTape)).toBe("wait: durable");
    expect(ask(COMMAND_WRITE_UNBUFFERED, all)).toBe("good");
    expect(ask(COMMAND_WRITE_UNBUFFERED, received, FLOW_REDUCED)).toBe("wait: durable");
    expect(ask(COMMAND_WRITE_UNBUFFERED, durable, FLOW_REDUCED)).toBe("good");
  });

  test("WRITE FILEMARKS, immed 0 (or count 0): a barrier; during failover the cache promises it and it is owed", () => {
    expect(ask(COMMAND_BARRIER, taken)).toBe("wait: durable and on tape");
    expect(ask(COMMAND_BARRIER, durable)).toBe("wait: on tape");
    expect(ask(COMMAND_BARRIER, onTape)).toBe("wait: durable");
    expect(ask(COMMAND_BARRIER, all)).toBe("good");
    expect(ask(COMMAND_BARRIER, durable, FLOW_BUSY)).toBe("good");
    expect(isOwed(END, durable)).toBe(true);
    expect(isOwed(END, all)).toBe(false);
  });

  test("WRITE FILEMARKS, immed 1: in the ring, no barrier", () => {
    expect(ask(COMMAND_FILEMARKS_IMMEDIATE, nothing)).toBe("wait: received");
    expect(ask(COMMAND_FILEMARKS_IMMEDIATE, received)).toBe("good");
  });

  test("READ, SPACE, LOCATE: the follower is drained first; during failover from the image", () => {
    expect(ask(COMMAND_POSITION, durable)).toBe("wait: drained");
    expect(ask(COMMAND_POSITION, taken)).toBe("good");
    expect(ask(COMMAND_POSITION, durable, FLOW_REDUCED)).toBe("from the image");
  });

  test("REWIND and UNLOAD imply the barrier; UNLOAD waits for the tape even during failover (rule 12)", () => {
    expect(ask(COMMAND_REWIND, taken)).toBe("wait: durable and on tape");
    expect(ask(COMMAND_REWIND, all)).toBe("good");
    expect(ask(COMMAND_REWIND, received, FLOW_REDUCED)).toBe("wait: durable");
    expect(ask(COMMAND_REWIND, durable, FLOW_REDUCED)).toBe("from the image");
    expect(ask(COMMAND_UNLOAD, durable)).toBe("wait: on tape");
    expect(ask(COMMAND_UNLOAD, durable, FLOW_REDUCED)).toBe("wait: on tape");
    expect(ask(COMMAND_UNLOAD, all, FLOW_REDUCED)).toBe("wait: flow");
    expect(ask(COMMAND_UNLOAD, all)).toBe("good");
  });

  test("RED-17a: while transfer is suspended no command is answered", () => {
    for (let command = COMMAND_WRITE; command <= COMMAND_UNLOAD; command++)
      expect(ask(command, all, FLOW_SUSPENDED)).toBe("wait: flow");
  });

  test("RED-19: reporting claims nothing as written that is not", () => {
    expect(ask(COMMAND_WRITE, received, FLOW_REPORT)).toBe("report");
    expect(ask(COMMAND_BARRIER, durable, FLOW_REPORT)).toBe("report");
    expect(ask(COMMAND_BARRIER, all, FLOW_REPORT)).toBe("good");
  });

  test("RED-03: a degraded cache still promises; with none, or a lost one, only the tape does", () => {
    expect(ask(COMMAND_BARRIER, durable, FLOW_REDUCED, CACHE_DEGRADED)).toBe("good");
    for (const cache of [CACHE_NONE, CACHE_LOST]) {
      expect(ask(COMMAND_BARRIER, onTape, FLOW_NORMAL, cache)).toBe("good");
      expect(ask(COMMAND_BARRIER, durable, FLOW_REDUCED, cache)).toBe("wait: on tape");
    }
  });
});
