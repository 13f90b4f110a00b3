/** @module The shape of understudy.toml, as people write it. Every key is optional; what is missing comes from the
 *  defaults (settings.ts). Sizes are mebibytes or kibibytes, as the key's name says. */
import { z } from "zod";
import { isIscsiName } from "../iscsi/keys.ts";

const port = z.int().min(0).max(65535).describe("a port number, 0 to 65535 (0: any free one)");
const host = z.string().min(1).describe("a host name or address");
const path = z.string().min(1).describe("a path");
const megabytes = z.int().min(1).max(1_000_000_000).describe("a whole number of megabytes, at least 1");
const latency = z.number().min(0).max(3_600_000).describe("milliseconds, 0 to 3600000");

export const cacheFileSchema = z.strictObject({
  members: z
    .union([z.int().min(0).max(32), z.array(path).min(1).max(32)])
    .optional()
    .describe("a count of files (1 to 32; 0: no cache), or a list of paths of files or block devices"),
  megabytes: megabytes
    .optional()
    .describe("what the cache holds, parity not counted: a whole number of megabytes"),
  stripKilobytes: z
    .int()
    .min(4)
    .max(4096)
    .multipleOf(4)
    .optional()
    .describe("one member's part of a stripe: a multiple of 4, from 4 to 4096"),
  parity: z.enum(["none", "one"]).optional().describe('"none" or "one"'),
});

const deviceFields = {
  ringMegabytes: z.int().min(8).max(3968).optional().describe("a whole number of megabytes, 8 to 3968"),
  maxBlockKilobytes: z
    .int()
    .min(64)
    .max(8192)
    .optional()
    .describe("the largest tape block, 64 to 8192 kilobytes"),
  hostLagMegabytes: megabytes
    .optional()
    .describe("how far the host may run ahead of the drive, in megabytes"),
  padMegabytes: megabytes.optional().describe("what stays unused at a cartridge's end, in megabytes"),
  spares: z.enum(["dedicated", "any"]).optional().describe('"dedicated" or "any" (any idle drive may serve)'),
  noSpare: z.enum(["report", "hold"]).optional().describe('"report" or "hold"'),
  badCartridge: z
    .enum(["swap", "otherDrive"])
    .optional()
    .describe('"swap" (a spare cartridge into the same drive) or "otherDrive"'),
  driveAnswerSeconds: z
    .int()
    .min(1)
    .max(600)
    .optional()
    .describe("seconds, 1 to 600, after which a drive that does not answer a write is given up"),
  cache: cacheFileSchema.optional().describe("a table"),
};

export const deviceDefaultsSchema = z.strictObject(deviceFields);

export const deviceFileSchema = z.strictObject({
  name: z.string().optional().describe("a name of small letters, digits, dots and hyphens, as drive-1"),
  serial: z.string().optional().describe("a serial number: 1 to 32 letters, digits, - or _"),
  drive: z.int().min(1).max(255).optional().describe("the number of the real drive that it starts with"),
  ...deviceFields,
});

const unitFields = {
  portal: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/)
    .describe("HOST:PORT, as 192.0.2.1:3260"),
  target: z.string().refine(isIscsiName).describe("a target's name, as iqn.2026-01.net.example:library"),
  lun: z.int().min(0).max(255).describe("a LUN, 0 to 255"),
};

export const foreignDriveSchema = z.strictObject({
  ...unitFields,
  changerElement: z.int().min(0).max(65535).describe("the drive's element address in its changer"),
  changer: z.int().min(1).max(16).optional().describe("which of library.changers has it, from 1 on"),
});

const chapUser = {
  user: z.string().min(1).max(255).describe("a user's name"),
  secretFile: path.describe("a path: the file that holds the secret"),
};

export const ownChapSchema = z.strictObject({
  target: z
    .string()
    .refine(isIscsiName)
    .optional()
    .describe("a target's name that stands in drives or changers; without it: all others"),
  ...chapUser,
  mutual: z.strictObject(chapUser).optional().describe("a table with user and secretFile"),
});

export const libraryFileSchema = z.strictObject({
  kind: z
    .enum(["file", "iscsi"])
    .optional()
    .describe('"file" (the embedded file library) or "iscsi" (drives and changers of others)'),
  drives: z
    .union([z.int().min(1).max(64), z.array(foreignDriveSchema).min(1).max(64)])
    .optional()
    .describe('how many drives the server sees, 1 to 64; with kind = "iscsi" a list of tables'),
  changers: z
    .array(z.strictObject(unitFields))
    .min(1)
    .max(16)
    .optional()
    .describe("a list of tables with portal, target and lun"),
  initiator: z.string().refine(isIscsiName).optional().describe("the name that we log in by"),
  chap: z
    .array(ownChapSchema)
    .max(64)
    .optional()
    .describe("a list of tables: how we log in to targets of others"),
  spares: z.int().min(0).max(64).optional().describe("how many spare drives, 0 to 64"),
  slots: z.int().min(1).max(1000).optional().describe("how many slots, 1 to 1000"),
  mailSlots: z.int().min(0).max(64).optional().describe("how many import/export elements, 0 to 64"),
  spareCartridges: z
    .int()
    .min(0)
    .max(999)
    .optional()
    .describe("how many of the cartridges, the last ones, are kept for those that fail"),
  barcodes: z.array(z.string()).optional().describe("a list of barcodes, one a slot from the first on"),
  capacityMegabytes: megabytes.optional().describe("a cartridge's capacity: a whole number of megabytes"),
  paceMegabytesPerSecond: z
    .number()
    .min(0)
    .optional()
    .describe("a drive's own speed in megabytes a second, 0: as fast as it goes"),
  bufferMegabytes: z.int().min(0).max(4096).optional().describe("a drive's own buffer, 0 to 4096 megabytes"),
  latencies: z
    .strictObject({
      loadMs: latency.optional(),
      unloadMs: latency.optional(),
      rewindMs: latency.optional(),
      locateMs: latency.optional(),
      moveMs: latency.optional(),
      filemarkMs: latency.optional(),
    })
    .optional()
    .describe("a table"),
  faults: z
    .array(z.string().min(1))
    .optional()
    .describe('a list of rules, as ["drive 1: on write 400: hardware error"]'),
});

export const chapEntrySchema = z.strictObject({
  initiator: z.string().refine(isIscsiName).describe("an initiator's name, as iqn.2026-01.net.example:host"),
  ...chapUser,
});

export const settingsFileSchema = z.strictObject({
  state: path.optional().describe("a path: the state directory"),
  iscsi: z
    .strictObject({
      host: host.optional(),
      port: port.optional(),
      iqn: z
        .string()
        .regex(/^iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[a-z0-9.:-]+)?$/)
        .optional()
        .describe("an iSCSI name, as iqn.2026-01.net.example:understudy"),
      chap: z.array(chapEntrySchema).max(256).optional().describe("a list of tables"),
      testDiskMegabytes: z
        .int()
        .min(0)
        .max(1024)
        .optional()
        .describe(
          "for tests of the transport only: megabytes, 0 to 1024, of a disk in memory at the next LUN (0: none)",
        ),
      mutualChap: z.strictObject(chapUser).optional().describe("a table with user and secretFile"),
    })
    .optional()
    .describe("a table"),
  http: z
    .strictObject({
      host: host.optional(),
      port: port.optional(),
      token: z.string().min(16).max(256).optional().describe("a secret of at least 16 characters"),
    })
    .optional()
    .describe("a table"),
  log: z
    .strictObject({
      level: z.enum(["debug", "info", "warning", "error"]).optional(),
      format: z.enum(["text", "json"]).optional(),
    })
    .optional()
    .describe("a table"),
  device: deviceDefaultsSchema.optional().describe("a table: what holds for every device"),
  devices: z
    .array(deviceFileSchema)
    .min(1)
    .max(64)
    .optional()
    .describe("one [[devices]] table for each virtual drive"),
  library: libraryFileSchema.optional().describe("a table"),
});

export type SettingsFile = z.infer<typeof settingsFileSchema>;
export type DeviceFile = z.infer<typeof deviceFileSchema>;
export type DeviceDefaultsFile = z.infer<typeof deviceDefaultsSchema>;
export type CacheFile = z.infer<typeof cacheFileSchema>;
