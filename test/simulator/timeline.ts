/** @module Simulated time: what happens next, in order of time, then of asking. */
interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

export class Timeline {
  nowMs = 0;
  private readonly heap: Due[] = [];
  private order = 0;

  after(delayMs: number, run: () => void): void {
    const due: Due = { atMs: this.nowMs + delayMs, order: this.order++, run };
    const { heap } = this;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(due, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = due;
  }

  /** Runs the next thing; false: nothing is left. */
  advance(): boolean {
    const { heap } = this;
    const first = heap[0];
    if (first === undefined) return false;
    const last = heap.pop()!;
    if (heap.length > 0) {
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= heap.length) break;
        if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
        if (!before(heap[child]!, last)) break;
        heap[at] = heap[child]!;
        at = child;
      }
      heap[at] = last;
    }
    this.nowMs = first.atMs;
    first.run();
    return true;
  }
}
