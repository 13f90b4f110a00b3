/** @module A Worker's end of the scan: takes the rules once, then one job after another. */
import { assert } from "../../base/assert.ts";
import type { ScanNotice, ScanOrder } from "./messages.ts";
import { Walker } from "./walker.ts";

/** Numbers of jobs: a Worker's own begin at its number times this; the sources' are below. */
export const JOBS_A_WORKER = 2 ** 32;

export class ScanDesk {
  readonly #tell: (notice: ScanNotice, transfer: ArrayBuffer[]) => void;
  #walker: Walker | null = null;

  constructor(tell: (notice: ScanNotice, transfer: ArrayBuffer[]) => void) {
    this.#tell = tell;
  }

  close(): void {
    this.#walker?.close();
  }

  /** Runs a job to its end before it returns. */
  take(order: ScanOrder): void {
    if (order.type === "scanJob") {
      assert(this.#walker !== null, "a scan job before the rules");
      this.#walker.run(order.job);
      return;
    }
    const hungry = new Int32Array(order.hungry);
    let id = (order.worker + 1) * JOBS_A_WORKER;
    this.#walker = new Walker(order.rules, {
      tell: this.#tell,
      isAnyIdle: () => Atomics.load(hungry, 0) > 0,
      takeIdle: () => {
        for (;;) {
          const idle = Atomics.load(hungry, 0);
          if (idle <= 0) return false;
          if (Atomics.compareExchange(hungry, 0, idle, idle - 1) === idle) return true;
        }
      },
      nextId: () => id++,
    });
  }
}

/** What a Worker's global scope and one end of a MessagePort have in common. */
export interface ScanScope {
  onmessage: ((event: MessageEvent<ScanOrder>) => void) | null;
  postMessage(notice: ScanNotice, transfer: ArrayBuffer[]): void;
}

/** The body of a Worker that does nothing but scan. */
export function runScanWorker(scope: ScanScope): void {
  const desk = new ScanDesk((notice, transfer) => scope.postMessage(notice, transfer));
  scope.onmessage = (event) => desk.take(event.data);
}
