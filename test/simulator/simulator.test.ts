/** @module Thousands of seeded schedules of faults over the pure director; and proof that the simulator would notice if a
 *  rule were broken: each mutation breaks one on purpose. */
import { describe, expect, test } from "bun:test";
import {
  ACK_NOW,
  COMMAND_BARRIER,
  COMMAND_WRITE_UNBUFFERED,
  mayAcknowledge,
  WAIT_FLOW,
} from "../../src/director/acknowledge.ts";
import { choose } from "../../src/director/choose.ts";
import type { DirectorEffect } from "../../src/director/states.ts";
import { step } from "../../src/director/step.ts";
import { FLOW_NORMAL } from "../../wasm/ring/layout.ts";
import { RULES, type Rules, runSeed } from "./world.ts";

const SCHEDULES = 5000;

test(`RED-02, 09, 11, 20, 21, 22, 23: ${SCHEDULES} schedules of faults break no promise`, () => {
  const ends = new Map<string, number>();
  const total = { acknowledgements: 0, drivesFailed: 0, crashes: 0, hostErrors: 0, replacements: 0 };
  for (let seed = 1; seed <= SCHEDULES; seed++) {
    const outcome = runSeed(seed);
    if (outcome.broken !== null)
      throw new Error(`${outcome.broken}\n  reproduce: bun test/simulator/run.ts --seed ${seed} --trace`);
    for (const end of outcome.ends) ends.set(end, (ends.get(end) ?? 0) + 1);
    total.acknowledgements += outcome.acknowledgements;
    total.drivesFailed += outcome.drivesFailed;
    total.crashes += outcome.crashes;
    total.hostErrors += outcome.hostErrors;
    total.replacements += outcome.replacements;
  }
  // The schedules must have something to say: every kind of end, and plenty of each ingredient.
  for (const end of ["Streaming", "noSpare", "robot", "cartridgeStuck", "cartridgeFault"])
    expect([...ends.keys()].some((one) => one.endsWith(end))).toBe(true);
  expect(ends.get("Streaming")).toBeGreaterThan(SCHEDULES / 2);
  expect(total.drivesFailed).toBeGreaterThan(SCHEDULES / 4);
  expect(total.crashes).toBeGreaterThan(SCHEDULES / 10);
  expect(total.hostErrors).toBeGreaterThan(0);
  expect(total.replacements).toBeGreaterThan(SCHEDULES / 50);
});

test("the same seed runs the same way", () => {
  const trace = () => {
    const lines: string[] = [];
    runSeed(4266, RULES, (line) => lines.push(line));
    return lines;
  };
  const first = trace();
  expect(first.length).toBeGreaterThan(100);
  expect(trace()).toEqual(first);
});

/** The first promise that breaks under these rules. */
function firstBroken(rules: Partial<Rules>): string {
  for (let seed = 1; seed <= 2000; seed++) {
    const { broken } = runSeed(seed, { ...RULES, ...rules });
    if (broken !== null) return broken;
  }
  return "nothing was noticed";
}

/** The real step, with one of its effects altered. */
function altered(alter: (effect: DirectorEffect) => DirectorEffect): Partial<Rules> {
  return {
    step: (state, event, nowMs) => {
      const next = step(state, event, nowMs);
      return { state: next.state, effects: next.effects.map(alter) };
    },
  };
}

describe("simulator catches", () => {
  test("a barrier acknowledged before it is durable in the cache", () => {
    const broken = firstBroken({
      acknowledge: (command, endJ, marks, flow, cache) =>
        mayAcknowledge(command, endJ, { ...marks, durable: marks.received }, flow, cache),
    });
    expect(broken).toContain("before it was durable");
  });

  test("a barrier acknowledged before it is on tape, with a healthy drive", () => {
    const broken = firstBroken({
      acknowledge: (command, endJ, marks, flow, cache) =>
        (command === COMMAND_BARRIER || command === COMMAND_WRITE_UNBUFFERED) && flow === FLOW_NORMAL
          ? mayAcknowledge(command, endJ, { ...marks, onTape: marks.taken }, flow, cache)
          : mayAcknowledge(command, endJ, marks, flow, cache),
    });
    expect(broken).toMatch(/before it was on tape/);
  });

  test("a command answered while transfer is suspended (606)", () => {
    const broken = firstBroken({
      acknowledge: (command, endJ, marks, flow, cache) => {
        const code = mayAcknowledge(command, endJ, marks, flow, cache);
        return code === WAIT_FLOW ? ACK_NOW : code;
      },
    });
    expect(broken).toContain("while transfer is suspended");
  });

  test("a spare that goes on one block too late: a hole in the image", () => {
    const broken = firstBroken(
      altered((effect) => (effect.kind === "follow" ? { ...effect, fromJ: effect.fromJ + 512 } : effect)),
    );
    expect(broken).toMatch(/not what the host sent|neither on the medium|on tape <= received/);
  });

  test("a spare that goes on from too early a place: blocks doubled", () => {
    const broken = firstBroken(
      altered((effect) =>
        effect.kind === "follow" ? { ...effect, fromJ: Math.max(0, effect.fromJ - 40_000) } : effect,
      ),
    );
    expect(broken).toMatch(/not what the host sent|overwritten/);
  });

  test("writing on at the wrong position: confirmed blocks overwritten", () => {
    const broken = firstBroken(
      altered((effect) =>
        effect.kind === "follow" ? { ...effect, position: Math.max(0, effect.position - 1) } : effect,
      ),
    );
    expect(broken).toMatch(/overwritten|erased|not what the host sent/);
  });

  test("a replacement that gets the image from the old cartridge's mark on: a hole from the beginning", () => {
    const broken = firstBroken({
      step: (state, event, nowMs) =>
        step(state, event.kind === "imageReady" ? { ...event, fromJ: state.marks.onTape } : event, nowMs),
    });
    expect(broken).toMatch(/a gap on the medium|not what the host sent|neither on the medium/);
  });

  test("late answers of an abandoned attempt taken for new ones", () => {
    const broken = firstBroken({
      step: (state, event, nowMs) =>
        step(state, "attempt" in event ? { ...event, attempt: state.attempt } : event, nowMs),
    });
    expect(broken).not.toBe("nothing was noticed");
  });

  test("a spare given to two devices", () => {
    const broken = firstBroken({
      choose: (pool, request) =>
        choose(
          pool.map((drive) => ({ ...drive, usedBy: null })),
          request,
        ),
    });
    expect(broken).toMatch(/in use|not this device's|two followers|already holds/);
  });

  test("a failed drive chosen as a spare", () => {
    const broken = firstBroken({
      choose: (pool, request) =>
        choose(
          pool.map((drive) => ({ ...drive, condition: "good" as const })),
          { ...request, excluded: [] },
        ),
    });
    expect(broken).toMatch(/in use or failed|used before/);
  });

  test("a follower that is never started again: the run does not end", () => {
    const broken = firstBroken(
      altered((effect) => (effect.kind === "couple" ? { kind: "demoteFollower" } : effect)),
    );
    expect(broken).toContain("no end");
  });

  test("an error told to the host under the policy 'hold'", () => {
    const broken = firstBroken({
      step: (state, event, nowMs) => {
        const next = step(state, event, nowMs);
        return next.state.name === "Halted"
          ? { ...next, state: { ...next.state, flow: "report" as const } }
          : next;
      },
    });
    expect(broken).toMatch(/the policy is hold|against the policy/);
  });
});
