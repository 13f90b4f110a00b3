/** @module Who may speak to the API. Loopback binds answer only to loopback names in Host (a web page that rebinds its
 *  name to 127.0.0.1 gets nothing) and to no foreign Origin; where a token is set every request must bear it. */
import { timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

const LOOPBACK_NAMES = new Set(["localhost", "127.0.0.1", "::1"]);

export interface GuardSettings {
  readonly host: string;
  readonly token: string | null;
}

/** "127.0.0.1:8700" -> "127.0.0.1", "[::1]:8700" -> "::1". */
function hostName(host: string): string {
  const match = /^\[([^\]]+)\](?::\d+)?$/.exec(host) ?? /^([^:]+)(?::\d+)?$/.exec(host);
  return (match?.[1] ?? host).toLowerCase();
}

function isLoopbackName(name: string): boolean {
  return LOOPBACK_NAMES.has(name) || /^127(\.\d{1,3}){3}$/.test(name);
}

function equalSecrets(given: string, secret: string): boolean {
  const [a, b] = [given, secret].map((text) => new Bun.CryptoHasher("sha256").update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

export function guard({ host, token }: GuardSettings): MiddlewareHandler {
  const boundToLoopback = isLoopbackName(hostName(host));
  return async (context, next) => {
    if (boundToLoopback) {
      const asked = hostName(context.req.header("host") ?? "");
      if (!isLoopbackName(asked))
        return problem(context, 403, `Host ${asked} is not this machine's loopback`);
    }
    const origin = context.req.header("origin");
    if (origin !== undefined && !isSameOrigin(origin, context.req.header("host") ?? "")) {
      return problem(context, 403, `requests from pages of ${origin} are not taken`);
    }
    if (token !== null) {
      const given = /^Bearer (.+)$/i.exec(context.req.header("authorization") ?? "")?.[1] ?? "";
      if (!equalSecrets(given, token)) {
        context.header("www-authenticate", "Bearer");
        return problem(context, 401, "send Authorization: Bearer with the server's http.token");
      }
    }
    return await next();
  };
}

function isSameOrigin(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
