/** @module Main's end of a Worker: orders by mailbox with an answer each, notices by callback, and word of its end. */
import { createMailbox, type MailboxMemory, MailboxSender } from "../base/mailbox.ts";
import type { StartMessage, WorkerNotice } from "./protocol.ts";

/** Makes a Worker from the program's own worker entry; only main.ts can, since a binary finds it only there. */
export type SpawnWorker = (name: string) => Worker;

export class WorkerHandle {
  readonly mailbox: MailboxMemory = createMailbox();
  private readonly worker: Worker;
  private readonly sender = new MailboxSender(this.mailbox);
  private readonly waiting = new Map<number, (result: unknown) => void>();
  private readonly startedFacts = Promise.withResolvers<unknown>();
  private orderIdNext = 1;

  constructor(
    spawn: SpawnWorker,
    readonly name: string,
    private readonly onNotice: (notice: WorkerNotice) => void,
    onEnd: (why: string) => void,
  ) {
    this.worker = spawn(name);
    this.worker.onmessage = (event: MessageEvent) => this.hear(event.data as WorkerNotice);
    this.worker.addEventListener("error", (event: ErrorEvent) => onEnd(`${name}: ${event.message}`));
    this.worker.addEventListener("close", () => onEnd(`${name} has ended`));
  }

  /** Hands the Worker what it is; resolves with what it found when it has begun. */
  start(message: StartMessage): Promise<unknown> {
    this.worker.postMessage(message);
    return this.startedFacts.promise;
  }

  /** Gives an order; resolves with its answer. `undefined` after `withinMs`: it does not answer (a drive may hang). */
  order<T>(message: object, withinMs?: number): Promise<T | undefined> {
    const orderId = this.orderIdNext++;
    const answer = Promise.withResolvers<unknown>();
    this.waiting.set(orderId, answer.resolve);
    this.sender.send({ ...message, orderId });
    if (withinMs === undefined) return answer.promise as Promise<T | undefined>;
    const late = Bun.sleep(withinMs).then(() => {
      this.waiting.delete(orderId);
      return undefined;
    });
    return Promise.race([answer.promise as Promise<T>, late]);
  }

  private hear(notice: WorkerNotice): void {
    this.sender.pump();
    if (notice.kind === "started") this.startedFacts.resolve(notice.facts);
    else if (notice.kind === "reply") {
      this.waiting.get(notice.orderId)?.(notice.result);
      this.waiting.delete(notice.orderId);
    } else this.onNotice(notice);
  }
}
