/** @module The backups of a store, sorted for paring: by level and by number, with the children of each.
 *  Taking one off hands its children to its parent. Lists ascend and are valid until the next `remove`. */
import { AssertionFailure, assert, present } from "../base/assert.ts";
import { type Level, mayBeParent, type Node } from "./tree.ts";

export class Shelf {
  readonly #nodes = new Map<number, Node>();
  readonly #children = new Map<number, number[]>();
  readonly #levels: Record<Level, Node[]> = { monthly: [], weekly: [], daily: [], micro: [] };
  #unsound: Node[] = [];

  /** `nodes` in any order, each number once. */
  constructor(nodes: readonly Node[]) {
    let last = 0;
    for (const node of inOrder(nodes)) {
      assert(node.number > last, `backup ${node.number} is in the tree once, and numbers count from 1`);
      last = node.number;
      this.#nodes.set(node.number, node);
      this.#levels[node.level].push(node);
      if (!mayBeParent(node)) this.#unsound.push(node);
      if (node.parent !== null) this.#childrenOf(node.parent).push(node.number);
    }
  }

  get size(): number {
    return this.#nodes.size;
  }

  of(level: Level): readonly Node[] {
    return this.#levels[level];
  }

  /** Interrupted or not verified, of all levels. */
  get unsound(): readonly Node[] {
    return this.#unsound;
  }

  hasChildren({ number }: Node): boolean {
    return (this.#children.get(number)?.length ?? 0) > 0;
  }

  /** All that depend on it, directly or through others. */
  dependantsOf({ number }: Node): Node[] {
    const found = [number];
    for (const one of found) found.push(...(this.#children.get(one) ?? []));
    return found
      .slice(1)
      .sort((a, b) => a - b)
      .map((one) => this.#node(one));
  }

  remove({ number }: Node): void {
    const victim = this.#node(number);
    const children = this.#children.get(number) ?? [];
    for (const child of children) this.#replace({ ...this.#node(child), parent: victim.parent });
    this.#children.delete(number);
    if (victim.parent !== null) {
      const siblings = this.#childrenOf(victim.parent);
      siblings.splice(siblings.indexOf(number), 1, ...children);
    }
    this.#nodes.delete(number);
    takeFrom(this.#levels[victim.level], number);
    if (!mayBeParent(victim)) takeFrom(this.#unsound, number);
  }

  #node(number: number): Node {
    return present(this.#nodes.get(number), `backup ${number}`);
  }

  #childrenOf(number: number): number[] {
    const known = this.#children.get(number);
    if (known !== undefined) return known;
    const none: number[] = [];
    this.#children.set(number, none);
    return none;
  }

  #replace(node: Node): void {
    this.#nodes.set(node.number, node);
    const level = this.#levels[node.level];
    level[placeIn(level, node.number)] = node;
    if (!mayBeParent(node)) this.#unsound[placeIn(this.#unsound, node.number)] = node;
  }
}

/** Sorting is skipped where the order is right already, as it is in most calls. */
function inOrder(nodes: readonly Node[]): readonly Node[] {
  const sorted = nodes.every(
    (node, cellIndex) => cellIndex === 0 || nodes[cellIndex - 1]!.number < node.number,
  );
  return sorted ? nodes : [...nodes].sort((a, b) => a.number - b.number);
}

function placeIn(list: readonly Node[], number: number): number {
  let [low, high] = [0, list.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = list[middle]?.number ?? 0;
    if (found === number) return middle;
    if (found < number) low = middle + 1;
    else high = middle - 1;
  }
  throw new AssertionFailure(`backup ${number} is not where it was put`);
}

function takeFrom(list: Node[], number: number): void {
  list.splice(placeIn(list, number), 1);
}
