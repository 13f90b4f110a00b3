import type { DemoRequest } from "../demo-request.ts";
import type { ServeRequest, StartOutcome } from "../ports.ts";

export async function runDemo(
  _request: DemoRequest,
  _start: (request: ServeRequest) => Promise<StartOutcome>,
): Promise<number> {
  return 1;
}
