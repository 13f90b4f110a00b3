/** @module A restore's Worker: makes batch after batch until it is told to stop. */
import { type Batch, type BatchAnswer, BatchMaker, type MakerSetup } from "./batch.ts";

export interface RestoreStart extends MakerSetup {
  readonly role: "restore";
}

export type RestoreOrder = Batch | { readonly kind: "close" };
export type RestoreNotice = BatchAnswer | { readonly kind: "closed"; readonly thread: number };

/** A Worker's own end: `self`. */
export interface RestoreWorkerPort {
  postMessage(notice: RestoreNotice): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

export function runRestoreWorker(start: RestoreStart, port: RestoreWorkerPort): void {
  const maker = new BatchMaker(start);
  port.onmessage = (event: MessageEvent) => {
    const order = event.data as RestoreOrder;
    if (order.kind === "batch") return port.postMessage(maker.make(order));
    maker.close();
    port.postMessage({ kind: "closed", thread: start.thread });
  };
}
