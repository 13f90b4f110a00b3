/** @module What an embedded library remembers (DIR/library.json): who its elements are, where each cartridge lies, which
 *  drives are out, which errors were seen. Written to a temporary name, synced, renamed: whole or as before. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { isMalformed, parseBarcode, parseDriveId, parseSerialNumber } from "../base/brands.ts";

export const LIBRARY_FILE = "library.json";
export const CARTRIDGE_DIRECTORY = "cartridges";
const STATE_VERSION = 1;

function branded<In extends string | number, Out>(schema: z.ZodType<In>, parse: (given: In) => Out) {
  return schema.transform((given, context): Exclude<Out, { kind: "malformed" }> => {
    const parsed = parse(given);
    if (isMalformed(parsed)) {
      context.addIssue({ code: "custom", message: `expected ${parsed.expected}` });
      return z.NEVER;
    }
    return parsed as Exclude<Out, { kind: "malformed" }>;
  });
}

const barcode = branded(z.string(), parseBarcode);
const serialNumber = branded(z.string(), parseSerialNumber);
const driveId = branded(z.number(), (value: number) => parseDriveId(value));
const address = z.number().int().min(0).max(65535);

const driveSchema = z.object({
  id: driveId,
  address,
  serial: serialNumber,
  isSpare: z.boolean(),
  barcode: barcode.nullable(),
  failure: z.object({ reason: z.string(), atMs: z.number() }).nullable(),
});

const errorSchema = z.object({
  atMs: z.number(),
  drive: driveId,
  barcode: barcode.nullable(),
  /** Sense triple, or null: the drive could not be reached. */
  sense: z.object({ key: z.number(), asc: z.number(), ascq: z.number() }).nullable(),
});

const slotSchema = z.object({ address, barcode: barcode.nullable() });

const cartridgeSchema = z.object({
  barcode,
  serial: serialNumber,
  capacityBytes: z.number().positive(),
  homeAddress: address,
  isSpare: z.boolean(),
  /** The barcode that it answers to; null: it is not shown. Missing: its own, or none while it is a spare. */
  shownAs: barcode.nullable().optional(),
  /** Never used again. */
  failure: z.object({ reason: z.string(), atMs: z.number() }).nullable().optional(),
  /** It stands in for another: the slot that it was taken from. */
  takenFrom: address.optional(),
});

const stateSchema = z.object({
  version: z.literal(STATE_VERSION),
  name: z.string(),
  drives: z.array(driveSchema),
  slots: z.array(slotSchema),
  /** Import/export elements; none in the libraries of older versions. */
  mailSlots: z.array(slotSchema).optional(),
  cartridges: z.array(cartridgeSchema),
  /** Taken out by an operator: their files are kept, no element holds them. */
  exported: z.array(cartridgeSchema).optional(),
  errors: z.array(errorSchema),
});

export type LibraryState = z.infer<typeof stateSchema>;
export type LibraryError = z.infer<typeof errorSchema>;

export interface LibraryProblem {
  readonly kind: "problem";
  readonly path: string;
  readonly why: string;
}

export function cartridgePath(directory: string, barcodeText: string): string {
  return join(directory, CARTRIDGE_DIRECTORY, `${barcodeText}.tape`);
}

export function libraryExists(directory: string): boolean {
  return existsSync(join(directory, LIBRARY_FILE));
}

/** A cartridge that lies in no element, or in two, or an element with an unknown cartridge: words, else null. */
function contradiction(state: LibraryState): string | null {
  const known = new Set<string>(state.cartridges.map((cartridge) => cartridge.barcode));
  const seen = new Set<string>();
  for (const element of [...state.drives, ...state.slots, ...(state.mailSlots ?? [])]) {
    if (element.barcode === null) continue;
    if (!known.has(element.barcode))
      return `element ${element.address} holds ${element.barcode}, which is not among the cartridges`;
    if (seen.has(element.barcode)) return `cartridge ${element.barcode} lies in two elements`;
    seen.add(element.barcode);
  }
  const outside = state.exported?.find((cartridge) => known.has(cartridge.barcode));
  if (outside !== undefined) return `cartridge ${outside.barcode} is exported, and in the library`;
  const lost = state.cartridges.find((cartridge) => !seen.has(cartridge.barcode));
  return lost === undefined ? null : `cartridge ${lost.barcode} lies in no element`;
}

/** `hasFiles` false: a library of others, whose cartridges are no files of ours. */
export function loadLibraryState(directory: string, hasFiles = true): LibraryState | LibraryProblem {
  const path = join(directory, LIBRARY_FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return { kind: "problem", path, why: error instanceof Error ? error.message : String(error) };
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: "problem", path, why: "not JSON" };
  }
  const parsed = stateSchema.safeParse(json);
  if (!parsed.success) {
    const why = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
    return { kind: "problem", path, why };
  }
  const why = contradiction(parsed.data);
  if (why !== null) return { kind: "problem", path, why };
  if (!hasFiles) return parsed.data;
  const missing = parsed.data.cartridges.find(
    (entry) => !existsSync(cartridgePath(directory, entry.barcode)),
  );
  if (missing !== undefined) {
    return {
      kind: "problem",
      path: cartridgePath(directory, missing.barcode),
      why: "the cartridge's file is missing",
    };
  }
  return parsed.data;
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Durable when it returns; throws where the disk refuses. */
export function saveLibraryState(directory: string, state: LibraryState): void {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, LIBRARY_FILE);
  const temporary = `${path}.new`;
  const fd = openSync(temporary, "w", 0o600);
  try {
    // All of it, or an error: a map cut off would take the place of a sound one.
    writeFileSync(fd, `${JSON.stringify(state, null, 2)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncDirectory(directory);
}
