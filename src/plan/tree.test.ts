import { describe, expect, test } from "bun:test";
import { dependantsOf, type Level, type Node, parentOf, placeOf, without } from "./tree.ts";

const WEEK_SLOTS = 7 * 96;

function node(number: number, level: Level, parent: number | null, change: Partial<Node> = {}): Node {
  return { number, level, parent, atMs: 0, verified: true, pinned: false, complete: true, ...change };
}

function levelOfSlot(slot: number): Level {
  if (slot % (4 * WEEK_SLOTS) === 0) return "monthly";
  if (slot % WEEK_SLOTS === 0) return "weekly";
  return slot % 96 === 0 ? "daily" : "micro";
}

/** Nothing is pared, as in Table 1. */
function made(count: number): Node[] {
  const nodes: Node[] = [];
  for (let number = 1; number <= count; number++) {
    const { level, parent } = placeOf(levelOfSlot(number - 1), nodes);
    nodes.push(node(number, level, parent));
  }
  return nodes;
}

const MONTH = made(2689);
const at = (number: number) => {
  const { level, parent } = MONTH[number - 1] ?? node(0, "micro", 0);
  return [number, parent, level];
};

test("TREE-05: Table 1, line by line", () => {
  const table = [1, 2, 3, 4, 97, 98, 99, 193, 194, 673, 674, 769, 770, 2689].map(at);
  expect(table).toEqual([
    [1, null, "monthly"],
    [2, 1, "micro"],
    [3, 2, "micro"],
    [4, 3, "micro"],
    [97, 1, "daily"],
    [98, 97, "micro"],
    [99, 98, "micro"],
    [193, 1, "daily"],
    [194, 193, "micro"],
    [673, 1, "weekly"],
    [674, 673, "micro"],
    [769, 673, "daily"],
    [770, 769, "micro"],
    [2689, null, "monthly"],
  ]);
});

test("TREE-05: FIG. 2: children of the monthly, of each weekly and daily, and the chains of micros", () => {
  const tree = MONTH.slice(0, 2688);
  const childrenOf = (number: number) => tree.filter(({ parent }) => parent === number);
  const levelsOf = (number: number) => childrenOf(number).map(({ level }) => level);
  const six: Level[] = Array.from({ length: 6 }, () => "daily");
  expect(levelsOf(1)).toEqual<Level[]>(["micro", ...six, "weekly", "weekly", "weekly"]);
  const weeklies = tree.filter(({ level }) => level === "weekly");
  expect(weeklies.map(({ number }) => levelsOf(number))).toEqual<Level[][]>(
    [0, 1, 2].map(() => ["micro", ...six]),
  );
  const chain = (number: number) => {
    let length = 0;
    for (let next = childrenOf(number)[0]; next !== undefined; next = childrenOf(next.number)[0]) length++;
    return length;
  };
  const dailies = tree.filter(({ level }) => level === "daily");
  expect(dailies.every(({ number }) => levelsOf(number).length === 1 && chain(number) === 95)).toBe(true);
  // 44 and 52, each with a chain of 94 below.
  expect([chain(1), ...weeklies.map(({ number }) => chain(number))]).toEqual([95, 95, 95, 95]);
});

describe("TREE-04: parents", () => {
  const nodes = [node(1, "monthly", null), node(5, "weekly", 1), node(7, "daily", 5), node(9, "micro", 7)];
  test("each level takes the most recent one that it may", () => {
    const numbers = (["monthly", "weekly", "daily", "micro"] as const).map(
      (level) => parentOf(level, nodes)?.number,
    );
    expect(numbers).toEqual([undefined, 1, 5, 9]);
    expect(parentOf("daily", [...nodes, node(10, "monthly", null)])?.number).toBe(10);
  });
  test("the most recent is the one of the highest number, whatever the clock showed", () => {
    const back = [node(1, "monthly", null, { atMs: 9000 }), node(2, "monthly", null, { atMs: 10 })];
    expect(parentOf("micro", [...back].reverse())?.number).toBe(2);
    expect(parentOf("micro", back)?.number).toBe(2);
  });
  test("without a parent it becomes a full: first use of a store", () => {
    expect(placeOf("micro", [])).toEqual({ level: "monthly", parent: null });
    expect(placeOf("weekly", [node(3, "daily", null)])).toEqual({ level: "monthly", parent: null });
  });
  test("TREE-08: what is not verified, or not complete, is never a parent", () => {
    const bad = [node(10, "micro", 9, { verified: false }), node(11, "micro", 9, { complete: false })];
    expect(parentOf("micro", [...nodes, ...bad])?.number).toBe(9);
    expect(placeOf("daily", [node(1, "monthly", null, { verified: false })]).level).toBe("monthly");
  });
  test("TREE-08: nor is what depends on one: its damage would be handed on", () => {
    const tree = [
      node(4, "micro", 3),
      node(1, "monthly", null),
      node(2, "daily", 1, { verified: false }),
      node(3, "micro", 2),
    ];
    expect(parentOf("micro", tree)?.number).toBe(1);
    const lost = tree.map((one) => ({ ...one, verified: one.number !== 1 }));
    expect(placeOf("micro", lost)).toEqual({ level: "monthly", parent: null });
  });
});

test("TREE-11: heirs of a pared backup take over its parent", () => {
  const nodes = [node(1, "monthly", null), node(2, "daily", 1), node(3, "micro", 2), node(4, "micro", 3)];
  const [monthly, daily] = nodes;
  if (monthly === undefined || daily === undefined) throw new Error("four nodes");
  expect(dependantsOf(daily, nodes).map(({ number }) => number)).toEqual([3, 4]);
  expect(without(nodes, daily).map(({ number, parent }) => [number, parent])).toEqual([
    [1, null],
    [3, 1],
    [4, 3],
  ]);
  expect(without(nodes, monthly)[0]?.parent).toBeNull();
});
