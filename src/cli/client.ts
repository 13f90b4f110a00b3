/** @module The CLI's way to a running server: its HTTP API, and nothing else. Answers are checked against the schemas
 *  that both sides share; a server that cannot be reached or refuses becomes one line with what to do. */
import { z } from "zod";
import type { HouseEvent } from "../base/events.ts";
import { eventSchema, type Status, statusSchema } from "../base/status.ts";
import { CommandFailure, EXIT } from "./exit.ts";
import type { CliPorts } from "./ports.ts";

export const DEFAULT_URL = "http://127.0.0.1:8700";
const REQUEST_TIMEOUT_MS = 10_000;
/** The robot may take minutes before an order of the operator is carried out. */
const ORDER_TIMEOUT_MS = 600_000;

const problemSchema = z.object({ title: z.string(), detail: z.string().optional() });
const doneSchema = z.object({ text: z.string() });
const eventsSchema = z.object({ events: z.array(eventSchema) });

export interface ClientOptions {
  readonly http?: string | undefined;
}

export class Client {
  readonly #base: string;
  readonly #token: string | undefined;

  constructor(base: string, token: string | undefined) {
    this.#base = base.replace(/\/+$/, "");
    this.#token = token;
  }

  async status(): Promise<Status> {
    return this.#parsed(statusSchema, await this.#request("GET", "/status"));
  }

  async events(afterId: number | null, limit: number): Promise<readonly HouseEvent[]> {
    const after = afterId === null ? "" : `&after=${afterId}`;
    const answer = await this.#request("GET", `/events?limit=${limit}${after}`);
    return (await this.#parsed(eventsSchema, answer)).events;
  }

  /** Carries out an order; resolves with the server's sentence. */
  async order(
    method: "POST" | "DELETE",
    path: string,
    body?: Readonly<Record<string, unknown>>,
  ): Promise<string> {
    const answer = await this.#request(method, path, body, ORDER_TIMEOUT_MS);
    return (await this.#parsed(doneSchema, answer)).text;
  }

  /** Events as they happen, from the one after `afterId` on; ends with the server, or with the signal. */
  async *follow(afterId: number | null, signal: AbortSignal): AsyncGenerator<HouseEvent> {
    const after = afterId === null ? "" : `?after=${afterId}`;
    const answer = await this.#send("GET", `/events/stream${after}`, undefined, signal);
    if (!answer.ok) throw await this.#refusal(answer);
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of answer.body ?? []) {
        rest += decoder.decode(chunk, { stream: true });
        const messages = rest.split("\n\n");
        rest = messages.pop() ?? "";
        for (const message of messages) {
          const data = message
            .split("\n")
            .filter((line) => line.startsWith("data:"))
            .map((line) => line.slice(5).trimStart())
            .join("\n");
          if (data === "" || !message.includes("event: event")) continue;
          yield eventSchema.parse(JSON.parse(data));
        }
      }
    } catch (error) {
      if (!signal.aborted) throw this.#unreachable(error);
    }
  }

  async #request(
    method: string,
    path: string,
    body?: Readonly<Record<string, unknown>>,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Response> {
    const answer = await this.#send(method, path, body, AbortSignal.timeout(timeoutMs));
    if (!answer.ok) throw await this.#refusal(answer);
    return answer;
  }

  async #send(
    method: string,
    path: string,
    body: Readonly<Record<string, unknown>> | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    try {
      return await fetch(`${this.#base}/api/v1${path}`, {
        method,
        headers,
        signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  #unreachable(error: unknown): CommandFailure {
    const cause = causeOf(error);
    return new CommandFailure(
      EXIT.unreachable,
      `no server answers at ${this.#base} (${cause}); is "understudy serve" running? --http URL names another`,
    );
  }

  async #refusal(answer: Response): Promise<CommandFailure> {
    const problem = problemSchema.safeParse(await answer.json().catch(() => null));
    const text = problem.success ? (problem.data.detail ?? problem.data.title) : `answered ${answer.status}`;
    const hint = answer.status === 401 ? "; set UNDERSTUDY_TOKEN to the server's http.token" : "";
    return new CommandFailure(EXIT.failed, `${text}${hint}`);
  }

  async #parsed<T>(schema: z.ZodType<T>, answer: Response): Promise<T> {
    const parsed = schema.safeParse(await answer.json().catch(() => null));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new CommandFailure(
      EXIT.failed,
      `${this.#base} does not answer as understudy ought to (${issue?.path.join(".") ?? ""}: ${issue?.message ?? "?"}); is it another version?`,
    );
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

export function clientOf(ports: CliPorts, options: ClientOptions): Client {
  const { environment } = ports.console;
  return new Client(options.http ?? environment.UNDERSTUDY_HTTP ?? DEFAULT_URL, environment.UNDERSTUDY_TOKEN);
}
