/** @module Events as server-sent events. What is kept after the asked id comes first, then what happens, without a gap and
 *  none twice: ids only grow, so a listener that falls behind reads the catalog again instead of queueing. */
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { HouseEvent } from "../base/events.ts";
import type { HttpPorts } from "./ports.ts";
import { problem } from "./problem.ts";

const BATCH = 200;
const HEARTBEAT_MS = 15_000;
const LISTENERS_MAX = 64;

export class EventStreams {
  readonly #ports: Pick<HttpPorts, "events">;
  readonly #open = new Set<() => void>();

  constructor(ports: Pick<HttpPorts, "events">) {
    this.#ports = ports;
  }

  /** `afterId` null: only what happens from now on. */
  serve(context: Context, afterId: number | null): Response {
    if (this.#open.size >= LISTENERS_MAX)
      return problem(context, 503, `${LISTENERS_MAX} streams are open already`);
    const { events } = this.#ports;
    let lastId = afterId ?? events.list({ limit: 1 }).at(-1)?.id ?? 0;
    let wake = Promise.withResolvers<void>();
    let ended = false;
    const unsubscribe = events.subscribe(() => wake.resolve());
    const end = () => {
      ended = true;
      unsubscribe();
      this.#open.delete(end);
      wake.resolve();
    };
    this.#open.add(end);
    return streamSSE(
      context,
      async (stream) => {
        stream.onAbort(end);
        try {
          // At once, so that a client knows that it is heard before anything happens.
          await stream.writeSSE({ event: "hello", data: String(lastId) });
          while (!ended && !stream.aborted) {
            wake = Promise.withResolvers<void>();
            let batch: readonly HouseEvent[];
            do {
              batch = events.list({ afterId: lastId, limit: BATCH });
              for (const event of batch) {
                await stream.writeSSE({ event: "event", id: String(event.id), data: JSON.stringify(event) });
                lastId = event.id;
              }
            } while (batch.length === BATCH && !ended);
            if (ended) break;
            const heartbeat = setTimeout(() => wake.resolve(), HEARTBEAT_MS);
            await wake.promise;
            clearTimeout(heartbeat);
            if (!ended) await stream.writeSSE({ event: "alive", data: "" });
          }
        } finally {
          end();
        }
      },
      async () => end(),
    );
  }

  /** Ends all streams: the server stops. */
  close(): void {
    for (const end of [...this.#open]) end();
  }
}
