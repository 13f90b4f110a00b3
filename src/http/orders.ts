/** @module What an operator may order: return a drive, inject or clear a fault, replace a cache disk, add cartridges,
 *  take them out and bring them back, let a halted device go on. */
import { type Context, Hono } from "hono";
import { z } from "zod";
import {
  type Barcode,
  type DriveId,
  isMalformed,
  parseBarcode,
  parseDeviceName,
  parseDriveId,
} from "../base/brands.ts";
import type { HttpPorts, OrderOutcome } from "./ports.ts";
import { problem } from "./problem.ts";

const faultBody = z.strictObject({ rule: z.string().min(1).max(500) });
const retryBody = z.strictObject({
  device: z.string(),
  drive: z.int().nullable().default(null),
  cartridge: z.string().max(32).nullable().default(null),
});

const cartridgeBody = z.strictObject({
  barcode: z.string().max(32).nullable().default(null),
  megabytes: z.int().min(1).max(1_000_000_000).nullable().default(null),
  spare: z.boolean().default(false),
});

function answer(context: Context, outcome: OrderOutcome): Response {
  switch (outcome.kind) {
    case "done":
      return context.json({ text: outcome.text });
    case "notFound":
      return problem(context, 404, outcome.text);
    case "conflict":
      return problem(context, 409, outcome.text);
    case "malformed":
      return problem(context, 422, outcome.text);
  }
}

type Body<T> =
  | { readonly kind: "body"; readonly body: T }
  | { readonly kind: "refused"; readonly answer: Response };

async function bodyOf<T>(context: Context, schema: z.ZodType<T>): Promise<Body<T>> {
  // Only JSON: a form sent by a foreign page would need no preflight.
  if (!/^application\/json\b/i.test(context.req.header("content-type") ?? "")) {
    return { kind: "refused", answer: problem(context, 415, "send content-type: application/json") };
  }
  let given: unknown;
  try {
    given = JSON.parse(await context.req.text());
  } catch {
    return { kind: "refused", answer: problem(context, 400, "the body is not JSON") };
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return { kind: "body", body: parsed.data };
  const text = parsed.error.issues
    .map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`)
    .join("; ");
  return { kind: "refused", answer: problem(context, 422, text) };
}

export function orderRoutes(ports: HttpPorts): Hono {
  const routes = new Hono();

  const withDrive = async (
    context: Context,
    act: (drive: DriveId) => Promise<Response>,
  ): Promise<Response> => {
    const id = parseDriveId(context.req.param("id") ?? "");
    return isMalformed(id)
      ? problem(context, 404, `there is no drive ${id.given}; expected ${id.expected}`)
      : await act(id);
  };

  routes.post("/drives/:id/fault", (context) =>
    withDrive(context, async (drive) => {
      const body = await bodyOf(context, faultBody);
      if (body.kind === "refused") return body.answer;
      return answer(context, await ports.injectFault(drive, body.body.rule));
    }),
  );

  routes.delete("/drives/:id/fault", (context) =>
    withDrive(context, async (drive) => answer(context, await ports.clearFaults(drive))),
  );

  routes.post("/drives/:id/return", (context) =>
    withDrive(context, async (drive) => answer(context, await ports.returnDrive(drive))),
  );

  routes.post("/devices/:name/cache/:member/replace", async (context) => {
    const device = parseDeviceName(context.req.param("name"));
    const member = Number(context.req.param("member"));
    if (isMalformed(device)) return problem(context, 404, `there is no device ${device.given}`);
    if (!Number.isInteger(member) || member < 1)
      return problem(context, 404, "members of a cache count from 1");
    return answer(context, await ports.replaceCacheDisk({ device, member }));
  });

  const withBarcode = async (
    context: Context,
    act: (barcode: Barcode) => OrderOutcome | Promise<OrderOutcome>,
  ): Promise<Response> => {
    const barcode = parseBarcode(context.req.param("barcode") ?? "");
    return isMalformed(barcode)
      ? problem(context, 404, `there is no cartridge ${barcode.given}; expected ${barcode.expected}`)
      : answer(context, await act(barcode));
  };

  routes.post("/cartridges", async (context) => {
    const body = await bodyOf(context, cartridgeBody);
    if (body.kind === "refused") return body.answer;
    const { megabytes, spare: isSpare } = body.body;
    const barcode = body.body.barcode === null ? null : parseBarcode(body.body.barcode);
    if (isMalformed(barcode)) return problem(context, 422, `barcode: expected ${barcode.expected}`);
    return answer(context, await ports.addCartridge({ barcode, megabytes, isSpare }));
  });

  routes.delete("/cartridges/:barcode", (context) =>
    withBarcode(context, (barcode) => ports.exportCartridge(barcode)),
  );

  routes.post("/cartridges/:barcode/import", (context) =>
    withBarcode(context, (barcode) => ports.importCartridge(barcode)),
  );

  routes.post("/operator/retry", async (context) => {
    const body = await bodyOf(context, retryBody);
    if (body.kind === "refused") return body.answer;
    const device = parseDeviceName(body.body.device);
    if (isMalformed(device)) return problem(context, 422, `device: expected ${device.expected}`);
    const drive = body.body.drive === null ? null : parseDriveId(body.body.drive);
    if (isMalformed(drive)) return problem(context, 422, `drive: expected ${drive.expected}`);
    return answer(context, await ports.operatorRetry({ device, drive, cartridge: body.body.cartridge }));
  });

  return routes;
}
