/** @module What must survive a restart, beside the journal: events, images, marks against drives, small facts. SQLite in
 *  WAL mode in the state directory, on the main thread only, never on the way to GOOD.
 *  (1) A recorded event is on disk before its listeners hear of it; one that cannot be written down (a full disk) is
 *      logged and has no number: recording never stops what is recorded.
 *  (2) A drive marked as failed stays out until the operator returns it, whatever restarts. */
import { Database } from "bun:sqlite";
import { and, asc, desc, eq, gt, isNotNull } from "drizzle-orm";
import { type BunSQLiteDatabase, drizzle } from "drizzle-orm/bun-sqlite";
import { present } from "../base/assert.ts";
import type { Barcode, DeviceName, DriveId, SerialNumber } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import type { EventLog, EventQuery, Evidence, HouseEvent, NewEvent } from "../base/events.ts";
import { logOf } from "../base/log.ts";
import { migrate } from "./migrations.ts";
import { drives, events, images, settings } from "./schema.ts";

export interface FailedDrive {
  readonly drive: number;
  readonly serial: string;
  readonly failedMs: number;
  readonly failure: string;
  readonly evidence: Evidence;
}

export interface NewImage {
  readonly device: DeviceName;
  readonly barcode: Barcode;
  readonly serial: string | null;
  readonly identity: Evidence;
}

export type Image = typeof images.$inferSelect;

export type CatalogOutcome =
  | { readonly kind: "open"; readonly catalog: Catalog }
  | { readonly kind: "refused"; readonly text: string };

const log = logOf("catalog");

/** Opens or makes the catalog at `path` (":memory:" for tests). */
export function openCatalog(path: string, clock: Clock): CatalogOutcome {
  let database: Database | null = null;
  try {
    database = new Database(path, { create: true, strict: true });
    // NORMAL keeps the file whole at a crash of the process; only a power cut may lose the newest events.
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    database.run("PRAGMA busy_timeout = 2000");
    database.run("PRAGMA foreign_keys = ON");
    const outcome = migrate(database);
    if (outcome.kind === "newer") {
      database.close();
      return {
        kind: "refused",
        text: `${path}: written by a later understudy (catalog version ${outcome.version}); start that one, or name another state directory`,
      };
    }
    return { kind: "open", catalog: new Catalog(database, clock) };
  } catch (error) {
    database?.close();
    const cause = error instanceof Error ? error.message : String(error);
    return {
      kind: "refused",
      text: `${path}: the catalog cannot be opened: ${cause}; move it away to begin a new one`,
    };
  }
}

export class Catalog implements EventLog {
  readonly #database: Database;
  readonly #orm: BunSQLiteDatabase;
  readonly #clock: Clock;
  readonly #listeners = new Set<(event: HouseEvent) => void>();

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#orm = drizzle({ client: database });
    this.#clock = clock;
  }

  record(event: NewEvent): HouseEvent {
    const { kind, severity, device, transition, text, evidence } = event;
    const values = {
      atMs: Math.round(this.#clock.wallMs()),
      kind,
      severity,
      device,
      transition,
      text,
      evidence,
    };
    let row: HouseEvent;
    try {
      row = this.#orm.insert(events).values(values).returning().get();
    } catch (error) {
      // A full disk: whoever records is in the middle of something that matters more than its record.
      log.error("an event could not be recorded", { error, transition, text });
      return { id: 0, ...values };
    }
    for (const listener of this.#listeners) {
      try {
        listener(row);
      } catch (error) {
        // One listener's fault must not keep the others, or the recorder, from going on.
        log.error("a listener to events failed", { error, transition });
      }
    }
    return row;
  }

  list({ afterId, device, limit }: EventQuery): readonly HouseEvent[] {
    const ofDevice = device === undefined ? undefined : eq(events.device, device);
    if (afterId !== undefined) {
      return this.#orm
        .select()
        .from(events)
        .where(and(gt(events.id, afterId), ofDevice))
        .orderBy(asc(events.id))
        .limit(limit)
        .all();
    }
    return this.#orm
      .select()
      .from(events)
      .where(ofDevice)
      .orderBy(desc(events.id))
      .limit(limit)
      .all()
      .reverse();
  }

  subscribe(listener: (event: HouseEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The drive is out from now on. The first failure stands until the drive is returned. */
  markFailed(drive: DriveId, serial: SerialNumber, failure: string, evidence: Evidence): void {
    const failedMs = Math.round(this.#clock.wallMs());
    const found = this.#orm.select().from(drives).where(eq(drives.serial, serial)).get();
    if (found?.failedMs != null) return;
    this.#orm
      .insert(drives)
      .values({ serial, drive, failedMs, failure, evidence })
      .onConflictDoUpdate({ target: drives.serial, set: { drive, failedMs, failure, evidence } })
      .run();
  }

  /** false: it was not marked as failed. Its score begins anew. */
  returnDrive(serial: SerialNumber): boolean {
    const back = this.#orm
      .update(drives)
      .set({ failedMs: null, failure: null, evidence: null, score: 0 })
      .where(and(eq(drives.serial, serial), isNotNull(drives.failedMs)))
      .returning({ serial: drives.serial })
      .all();
    return back.length > 0;
  }

  failedDrives(): readonly FailedDrive[] {
    return this.#orm
      .select()
      .from(drives)
      .where(isNotNull(drives.failedMs))
      .orderBy(asc(drives.drive))
      .all()
      .map(({ drive, serial, failedMs, failure, evidence }) => ({
        drive,
        serial,
        failedMs: present(failedMs, "failedMs"),
        failure: failure ?? "",
        evidence: evidence ?? {},
      }));
  }

  /** Adds to what is held against a drive; returns the sum. */
  addScore(drive: DriveId, serial: SerialNumber, score: number): number {
    const before = this.scoreOf(serial);
    this.#orm
      .insert(drives)
      .values({ serial, drive, score })
      .onConflictDoUpdate({ target: drives.serial, set: { drive, score: before + score } })
      .run();
    return before + score;
  }

  scoreOf(serial: SerialNumber): number {
    return this.#orm.select().from(drives).where(eq(drives.serial, serial)).get()?.score ?? 0;
  }

  /** A new image; its id goes into the journal's entries. */
  beginImage({ device, barcode, serial, identity }: NewImage): Image {
    return this.#orm
      .insert(images)
      .values({ device, barcode, serial, identity, startedMs: Math.round(this.#clock.wallMs()), whole: true })
      .returning()
      .get();
  }

  updateImage(id: number, change: Partial<Pick<Image, "serial" | "whole" | "identity">>): void {
    this.#orm.update(images).set(change).where(eq(images.id, id)).run();
  }

  image(id: number): Image | null {
    return this.#orm.select().from(images).where(eq(images.id, id)).get() ?? null;
  }

  /** Newest first. */
  imagesOf(barcode: Barcode): readonly Image[] {
    return this.#orm.select().from(images).where(eq(images.barcode, barcode)).orderBy(desc(images.id)).all();
  }

  dropImage(id: number): void {
    this.#orm.delete(images).where(eq(images.id, id)).run();
  }

  fact(key: string): Evidence[string] | undefined {
    return this.#orm.select().from(settings).where(eq(settings.key, key)).get()?.value;
  }

  setFact(key: string, value: Evidence[string]): void {
    this.#orm
      .insert(settings)
      .values({ key, value })
      .onConflictDoUpdate({ target: settings.key, set: { value } })
      .run();
  }

  close(): void {
    this.#listeners.clear();
    this.#database.close();
  }
}
