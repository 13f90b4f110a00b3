/** @module The control API: what is so (status, library, events, metrics) and what the operator may order. It runs on the
 *  main thread over ports and never on the way to GOOD. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { logOf } from "../base/log.ts";
import type { Status } from "../base/status.ts";
import { EventStreams } from "./event-stream.ts";
import { guard } from "./guard.ts";
import { metricsText } from "./metrics.ts";
import { morning } from "./morning.ts";
import { orderRoutes } from "./orders.ts";
import type { HttpPorts, HttpSettings } from "./ports.ts";
import { problem } from "./problem.ts";

export { morning } from "./morning.ts";
export type { HttpPorts, HttpSettings, OrderOutcome, ReplaceCacheDisk, RetryOrder } from "./ports.ts";

const BODY_BYTES_MAX = 16 * 1024;
const log = logOf("http");

const eventsQuery = z.object({
  after: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  device: z.string().max(64).optional(),
});

export interface Http {
  readonly app: Hono;
  /** Ends the open streams. */
  close(): void;
}

export function createHttp(ports: HttpPorts, settings: Pick<HttpSettings, "host" | "token">): Http {
  const app = new Hono();
  const streams = new EventStreams(ports);

  app.use(guard(settings));
  app.use(
    bodyLimit({
      maxSize: BODY_BYTES_MAX,
      onError: (context) => problem(context, 413, `at most ${BODY_BYTES_MAX} bytes`),
    }),
  );
  app.notFound((context) =>
    problem(context, 404, `${context.req.method} ${context.req.path} is not served here`),
  );
  app.onError((error, context) => {
    log.error("a request failed", { method: context.req.method, path: context.req.path, error });
    return problem(context, 500, error.message);
  });

  const api = new Hono();
  api.get("/status", (context) => {
    const facts = ports.status();
    const status: Status = { ...facts, morning: morning(facts) };
    return context.json(status);
  });
  api.get("/library", (context) => context.json(ports.library()));
  api.get("/events", (context) => {
    const query = eventsQuery.safeParse(context.req.query());
    if (!query.success) return problem(context, 400, z.prettifyError(query.error));
    const { after, limit, device } = query.data;
    const events = ports.events.list({
      limit,
      ...(after === undefined ? {} : { afterId: after }),
      ...(device === undefined ? {} : { device }),
    });
    return context.json({ events });
  });
  api.get("/events/stream", (context) => {
    // A browser that reconnects says where it was by the header.
    const given = context.req.query("after") ?? context.req.header("last-event-id");
    const afterId = z.coerce.number().int().min(0).optional().safeParse(given);
    if (!afterId.success) return problem(context, 400, "after: expected an event's id, 0 or more");
    return streams.serve(context, afterId.data ?? null);
  });
  api.route("/", orderRoutes(ports));

  app.route("/api/v1", api);
  app.get("/metrics", (context) =>
    context.text(metricsText(ports.status()), 200, { "content-type": "text/plain; version=0.0.4" }),
  );
  return { app, close: () => streams.close() };
}

export type ServeHttpOutcome =
  | { readonly kind: "serving"; readonly url: string; readonly port: number; stop(): Promise<void> }
  | { readonly kind: "refused"; readonly text: string };

/** Listens; a taken port is told, not thrown. */
export function serveHttp(ports: HttpPorts, settings: HttpSettings): ServeHttpOutcome {
  const http = createHttp(ports, settings);
  try {
    const server = Bun.serve({
      hostname: settings.host,
      port: settings.port,
      // Streams are kept open by their heartbeat, which is more frequent than this.
      idleTimeout: 60,
      fetch: http.app.fetch,
    });
    const port = server.port ?? settings.port;
    const host = settings.host.includes(":") ? `[${settings.host}]` : settings.host;
    return {
      kind: "serving",
      url: `http://${host}:${port}`,
      port,
      stop: async () => {
        http.close();
        await server.stop(true);
      },
    };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const where = `${settings.host}:${settings.port}`;
    const text =
      code === "EADDRINUSE"
        ? `the API's port ${where} is taken; stop who has it, or name another: --http HOST:PORT`
        : `the API cannot listen at ${where}: ${error instanceof Error ? error.message : String(error)}`;
    return { kind: "refused", text };
  }
}
