/** @module What the house says of itself: the one document that the composition root fills, the API serves and the CLI
 *  reads. The schemas are the truth; the types follow from them. Byte figures count host data, not padding. */
import { z } from "zod";
import { EVENT_KINDS, SEVERITIES } from "./events.ts";

export const DEVICE_STATES = [
  "Streaming",
  "Classifying",
  "Choosing",
  "Switching",
  "Verifying",
  "Replaying",
  "Halted",
] as const;

const bytes = z.number();
const count = z.number().int();

/** The durability ledger: how far the host's data has come. */
export const markSchema = z.strictObject({ bytes, blocks: count });

export const cartridgeSchema = z.strictObject({
  barcode: z.string(),
  serial: z.string().nullable(),
  capacityBytes: bytes,
  remainingBytes: bytes,
  writeProtected: z.boolean(),
});

export const cacheSchema = z.strictObject({
  state: z.enum(["none", "healthy", "degraded", "lost"]),
  parity: z.enum(["none", "one"]),
  capacityBytes: bytes,
  /** Journal held that may not be overwritten yet. */
  pinnedBytes: bytes,
  /** O_DIRECT is in use on every member. */
  direct: z.boolean(),
  members: z.array(z.strictObject({ path: z.string(), state: z.enum(["good", "rebuilding", "lost"]) })),
});

export const deviceSchema = z.strictObject({
  name: z.string(),
  lun: count,
  /** What the backup server sees, whatever drive is behind (RED-07). */
  serial: z.string(),
  state: z.enum(DEVICE_STATES),
  /** Why it is halted, or what the state waits for. */
  reason: z.string().nullable(),
  /** The real drive behind, for diagnosis (RED-07). */
  drive: z.strictObject({ id: count, serial: z.string() }).nullable(),
  cartridge: cartridgeSchema.nullable(),
  marks: z.strictObject({ received: markSchema, cached: markSchema, onTape: markSchema }),
  /** Filemarks answered with GOOD from the cache that are not on tape yet. */
  owedFilemarks: count,
  /** Where the drive's reader takes from. */
  follower: z.enum(["none", "ring", "disk"]),
  flow: z.enum(["normal", "suspended", "reduced", "busy", "report"]),
  /** Bytes a second, over the last few seconds. */
  rates: z.strictObject({ host: bytes, cache: bytes, drive: bytes }),
  hostStallMsMax: z.number(),
  /** Time that the tape stood still while data for it lay there, since the drive's start (paced file drives know it). */
  driveIdleWhileWaitingMs: z.number(),
  ringBytes: bytes,
  cache: cacheSchema,
  /** Which promises hold now: a lost drive, a lost cartridge. */
  protects: z.strictObject({ drive: z.boolean(), cartridge: z.boolean() }),
});

export const driveSchema = z.strictObject({
  id: count,
  serial: z.string(),
  state: z.enum(["coupled", "idle", "spare", "failed"]),
  /** The virtual drive that it stands behind. */
  device: z.string().nullable(),
  /** Barcode of the cartridge in it. */
  cartridge: z.string().nullable(),
  failure: z.strictObject({ atMs: z.number(), text: z.string() }).nullable(),
  /** Fault rules that wait in it (tests and demonstrations). */
  faults: z.array(z.string()),
});

/** A spare cartridge that stands in for a failed one until its label has been moved (RED-08). */
export const standInSchema = z.strictObject({
  /** The barcode that servers know; its label is on the failed cartridge. */
  label: z.string(),
  failedIn: z.string(),
  replacement: z.string(),
  replacementIn: z.string(),
  /** Number of the slot that the replacement was taken from. */
  fromSlot: count,
  reason: z.string(),
  atMs: z.number(),
});

export const sessionSchema = z.strictObject({
  id: count,
  kind: z.enum(["normal", "discovery"]),
  initiatorName: z.string(),
  address: z.string(),
  sinceMs: z.number(),
});

export const elementSchema = z.strictObject({
  address: count,
  kind: z.enum(["robot", "slot", "mailSlot", "drive"]),
  /** Number within its kind, from 1, as operators count. */
  number: count,
  barcode: z.string().nullable(),
});

export const librarySchema = z.strictObject({
  /** "file": the embedded library; "iscsi": drives and changers of others. */
  kind: z.enum(["file", "iscsi"]),
  /** What the backup server's changer shows. */
  virtual: z.array(elementSchema),
  /** What is really there, spares and all. */
  real: z.array(elementSchema),
});

export const morningSchema = z.strictObject({
  severity: z.enum(SEVERITIES),
  /** What is so. */
  text: z.string(),
  /** What to do about it. */
  todo: z.string(),
});

/** All but `morning`, which follows from it. */
export const statusFactsSchema = z.strictObject({
  version: z.string(),
  state: z.enum(["starting", "running", "draining", "stopped"]),
  startedMs: z.number(),
  atMs: z.number(),
  stateDirectory: z.string(),
  iscsi: z.strictObject({ host: z.string(), port: count, targetName: z.string() }),
  devices: z.array(deviceSchema),
  drives: z.array(driveSchema),
  standIns: z.array(standInSchema),
  sessions: z.array(sessionSchema),
});

export const statusSchema = statusFactsSchema.extend({ morning: z.array(morningSchema) });

export const eventSchema = z.strictObject({
  id: count,
  atMs: z.number(),
  kind: z.enum(EVENT_KINDS),
  severity: z.enum(SEVERITIES),
  device: z.string().nullable(),
  transition: z.string(),
  text: z.string(),
  evidence: z.record(z.string(), z.json()),
});

export type Mark = z.infer<typeof markSchema>;
export type CartridgeStatus = z.infer<typeof cartridgeSchema>;
export type CacheStatus = z.infer<typeof cacheSchema>;
export type DeviceStatus = z.infer<typeof deviceSchema>;
export type DriveStatus = z.infer<typeof driveSchema>;
export type StandInStatus = z.infer<typeof standInSchema>;
export type SessionStatus = z.infer<typeof sessionSchema>;
export type ElementStatus = z.infer<typeof elementSchema>;
export type LibraryStatus = z.infer<typeof librarySchema>;
export type MorningItem = z.infer<typeof morningSchema>;
export type StatusFacts = z.infer<typeof statusFactsSchema>;
export type Status = z.infer<typeof statusSchema>;
