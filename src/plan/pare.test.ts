import { describe, expect, test } from "bun:test";
import { chooseByAge, choosePare, limitsOf, MICRO_AGE_MAX_MS } from "./pare.ts";
import { planPares } from "./pares.ts";
import { Shelf } from "./shelf.ts";
import type { Level, Node } from "./tree.ts";

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 5, 1);
const LETTERS: Readonly<Record<string, Level>> = { M: "monthly", W: "weekly", D: "daily", u: "micro" };

type Change = Readonly<Record<number, Partial<Node>>>;

/** "M2 W D3 u": 2 monthlies, a weekly, 3 dailies, a micro, in this order, each a child of the one before it. */
function tree(text: string, change: Change = {}): Node[] {
  const nodes: Node[] = [];
  for (const [, letter = "", count = ""] of text.matchAll(/([MWDu])(\d*)/g)) {
    const level = LETTERS[letter] ?? "micro";
    for (let copy = 0; copy < (count === "" ? 1 : Number(count)); copy++) {
      const number = nodes.length + 1;
      const parent = level === "monthly" ? null : number - 1;
      const made = {
        number,
        level,
        parent,
        atMs: NOW_MS - DAY_MS,
        verified: true,
        pinned: false,
        complete: true,
      };
      nodes.push({ ...made, ...change[number] });
    }
  }
  return nodes;
}

function chosen(nodes: readonly Node[], beforeFull = false): [number, string] | string {
  const choice = choosePare(nodes, NOW_MS, { beforeFull });
  return choice.kind === "nothing" ? choice.step : [choice.victim.number, choice.step];
}

describe("TREE-10: each box of the chart", () => {
  test("100: a micro of more than 7 days, strictly", () => {
    const [just, over] = [NOW_MS - MICRO_AGE_MAX_MS, NOW_MS - MICRO_AGE_MAX_MS - 1];
    expect(chosen(tree("M D2 u2", { 4: { atMs: just }, 5: { atMs: over } }))).toEqual([5, "100"]);
    expect(chosen(tree("M D2 u2", { 4: { atMs: just } }))).toEqual([2, "132"]);
  });
  test("108: 80 backups or more, 36 of them dailies", () => {
    expect(chosen(tree("M20 W24 D36"))).toEqual([45, "108"]);
  });
  test("104 and 106: at 79 backups, or 35 dailies, another box decides", () => {
    expect(chosen(tree("M19 W24 D36"))).toEqual([20, "128"]);
    expect(chosen(tree("M21 W24 D35"))).toEqual([22, "112"]);
  });
  test("112: 18 weeklies; 114: fewer", () => {
    expect(chosen(tree("M27 W18 D35"))).toEqual([28, "112"]);
    expect(chosen(tree("M28 W17 D35"))).toEqual([1, "114"]);
  });
  test("micros do not count in n", () => {
    expect(chosen(tree("M19 W24 D36 u500"))).toEqual([20, "128"]);
  });
  test("118: the last one, with its dependants, only before a full; the operator is told", () => {
    const nodes = tree("M u3");
    const choice = choosePare(nodes, NOW_MS, { beforeFull: true });
    if (choice.kind === "nothing") throw new Error("118 takes it");
    expect([choice.victim.number, choice.step, choice.tellOperator]).toEqual([1, "118", true]);
    expect(choice.dependants.map(({ number }) => number)).toEqual([2, 3, 4]);
    expect(chosen(nodes, false)).toEqual([4, "142+"]);
    expect(chosen(tree("M"), false)).toBe("142");
  });
  test("120: M and W, rounded down", () => {
    const counts = [2, 7, 8, 14, 15, 16, 23, 24, 79].map((n) => {
      const { monthlies, weeklies } = limitsOf(n);
      return [n, monthlies, weeklies];
    });
    expect(counts).toEqual([
      [2, 0, 1],
      [7, 0, 1],
      [8, 1, 2],
      [14, 1, 2],
      [15, 3, 3],
      [16, 3, 3],
      [23, 5, 3],
      [24, 6, 4],
      [79, 24, 13],
    ]);
  });
  test("122, 124: more monthlies before the oldest weekly than M", () => {
    expect(chosen(tree("M2 W D"))).toEqual([1, "124"]);
    expect(chosen(tree("M W M D"))).toEqual([1, "124"]);
    expect(chosen(tree("M2 W3 D5"))).toEqual([1, "124"]);
    expect(chosen(tree("M3 W3 D9"))).toEqual([7, "132"]);
  });
  test("126, 128: more weeklies before the oldest daily than W", () => {
    expect(chosen(tree("M W2 D"))).toEqual([2, "128"]);
    expect(chosen(tree("M W D"))).toEqual([3, "132"]);
    expect(chosen(tree("M W3 D4"))).toEqual([2, "128"]);
  });
  test("122, 126: where there is no weekly or no daily, none predates it", () => {
    expect(chosen(tree("M2 D"))).toEqual([3, "132"]);
    expect(chosen(tree("M W5"))).toEqual([2, "140"]);
  });
  test("130, 132: the oldest daily", () => {
    expect(chosen(tree("M D3 u"))).toEqual([2, "132"]);
  });
  test("134, 136: no daily: the oldest monthly", () => {
    expect(chosen(tree("M2"))).toEqual([1, "136"]);
    expect(chosen(tree("W M2"))).toEqual([2, "136"]);
  });
  test("138, 140: the oldest weekly", () => {
    expect(chosen(tree("M W"))).toEqual([2, "140"]);
  });
  test("142: nothing is left; 142+: the oldest micro without children", () => {
    expect(chosen([])).toBe("142");
    expect(chosen(tree("M u5", { 4: { parent: 1 } }))).toEqual([3, "142+"]);
  });
  test("48: unverified and interrupted ones before all others", () => {
    const change = { 3: { verified: false }, 4: { atMs: 0 }, 5: { complete: false } };
    expect(chosen(tree("M D2 u3", change))).toEqual([3, "48"]);
    expect(chosen(tree("M D u3", { 4: { complete: false } }))).toEqual([4, "48"]);
  });
});

describe("TREE-10, 42: the only monthly stays while another backup exists", () => {
  test("124 passes over it to 126, 136 to 138", () => {
    expect(chosen(tree("M W D"))).toEqual([3, "132"]);
    expect(chosen(tree("M W2"))).toEqual([2, "140"]);
  });
  test("114 passes over it to the next question", () => {
    const pinned = Object.fromEntries(Array.from({ length: 40 }, (_, cell) => [cell + 2, { pinned: true }]));
    expect(chosen(tree("M41 W17 D22", pinned))).toEqual([1, "114"]);
    const allPinned = Object.fromEntries(
      Array.from({ length: 41 }, (_, cell) => [cell + 1, { pinned: true }]),
    );
    expect(chosen(tree("M41 W17 D22", allPinned))).toEqual([42, "128"]);
  });
  test("48 passes over it; a sound one is not given up for one that is not", () => {
    expect(chosen(tree("M D", { 1: { verified: false } }))).toEqual([2, "132"]);
    expect(chosen(tree("M2 D", { 1: { verified: false } }))).toEqual([1, "48"]);
    expect(chosen(tree("M2", { 2: { verified: false, pinned: true } }))).toBe("142");
  });
});

test("TREE-10: by age: micros of more than 7 days; 'keep N weeklies, drop older dailies'", () => {
  const nodes = tree("M D2 W D2 W D u2", { 9: { atMs: 0 } });
  const goes = (keepWeeklies: number | null) =>
    chooseByAge(new Shelf(nodes), NOW_MS, keepWeeklies).map(({ victim, step }) => [victim.number, step]);
  expect(goes(null)).toEqual([[9, "100"]]);
  expect(goes(3)).toEqual([[9, "100"]]);
  expect(goes(2)).toEqual([
    [9, "100"],
    [2, "42"],
    [3, "42"],
  ]);
  expect(goes(1).map(([number]) => number)).toEqual([9, 2, 3, 5, 6]);
});

describe("the whole sequence is planned before the first deletion", () => {
  const request = { nowMs: NOW_MS, keepWeeklies: null, freedBytes: () => 10 };
  const numbers = (pares: readonly { victim: Node }[]) => pares.map(({ victim }) => victim.number);

  test("TREE-11: what cannot make the room is not begun; what goes by age goes", () => {
    const nodes = tree("M D2 u2", { 1: { pinned: true }, 4: { atMs: 0 } });
    const plan = planPares({ ...request, nodes, beforeFull: true, freeBytes: 0, neededBytes: () => 100 });
    expect([plan.enough, numbers(plan.byAge), plan.forSpace, plan.freeBytes]).toEqual([false, [4], [], 10]);
  });
  test("TREE-11: 118 takes the last full only where a full follows", () => {
    const nodes = tree("M D u");
    const ask = { ...request, nodes, freeBytes: 0, neededBytes: () => 20 };
    const before = planPares({ ...ask, beforeFull: true });
    expect(before.forSpace.map(({ step }) => step)).toEqual(["132", "118"]);
    expect(before.forSpace[1]?.dependants.map(({ number, parent }) => [number, parent])).toEqual([[3, 1]]);
    const otherwise = planPares({ ...ask, beforeFull: false });
    expect(otherwise.forSpace.map(({ step }) => step)).toEqual(["132", "142+"]);
  });
  test("what is wanted may grow as parents go", () => {
    const nodes = tree("M D3");
    const neededBytes = (gone: readonly unknown[]) => 5 + 4 * gone.length;
    const plan = planPares({ ...request, nodes, beforeFull: false, freeBytes: 0, neededBytes });
    expect(numbers(plan.forSpace)).toEqual([2]);
  });
  test("with room to spare nothing goes", () => {
    const nodes = tree("M D3 u9");
    const plan = planPares({ ...request, nodes, beforeFull: true, freeBytes: 9, neededBytes: () => 9 });
    expect([plan.enough, plan.byAge, plan.forSpace]).toEqual([true, [], []]);
  });
});

test("TREE-10, 11: random trees: never a pinned one, never the only full but at 118, and it ends", () => {
  let seed = 20260104;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let round = 0; round < 300; round++) {
    const nodes: Node[] = [];
    const count = 1 + random(round % 3 === 0 ? 150 : 25);
    for (let number = 1; number <= count; number++) {
      const level = (["monthly", "weekly", "daily", "micro"] as const)[random(4)] ?? "micro";
      const parent = level === "monthly" || number === 1 ? null : 1 + random(number - 1);
      const atMs = NOW_MS - random(10 * DAY_MS);
      const rest = { verified: random(8) > 0, pinned: random(12) === 0, complete: random(12) > 0 };
      nodes.push({ number, level, parent, atMs, ...rest });
    }
    const beforeFull = random(2) === 0;
    let left = new Map(nodes.map((node) => [node.number, node]));
    const spare = new Set(nodes.filter(({ pinned }) => pinned).map(({ number }) => number));
    const plan = planPares({
      nodes: nodes.toSorted(() => random(3) - 1),
      nowMs: NOW_MS,
      beforeFull,
      keepWeeklies: random(2) === 0 ? null : 1 + random(3),
      freeBytes: 0,
      // Until nothing may go, in one round; until chance has it, in the other.
      neededBytes: (gone) => (round % 2 === 0 ? 1 : gone.length > random(count + 1) ? 0 : 1),
      freedBytes: (_gone, { victim, dependants, step }) => {
        expect(spare.has(victim.number) || dependants.some(({ number }) => spare.has(number))).toBe(false);
        const fulls = [...left.values()].filter(({ level }) => level === "monthly");
        if (victim.level === "monthly" && fulls.length === 1) {
          expect([step, beforeFull]).toEqual(["118", true]);
        }
        if (step !== "118") expect(dependants).toEqual([]);
        const gone = new Set([victim, ...dependants].map(({ number }) => number));
        expect([...gone].every((number) => left.has(number))).toBe(true);
        left = new Map([...left].filter(([number]) => !gone.has(number)));
        return 0;
      },
    });
    if (!plan.enough) expect(plan.forSpace).toEqual([]);
  }
});
