/** @module The running house: Workers, desks and API of one process, from the first look at the cache to the last word.
 *
 *  Order of a start: drives, library, caches (what did the last run leave?), journals to tape, then the host's door.
 *  No host is let in before what a filemark promised is on tape, or is known to be held in the cache (rule 7). */
import * as at from "../../wasm/ring/layout.ts";
import type { DriveId } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import { logOf } from "../base/log.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { ReadyFacts, RunningServer, StopReport } from "../cli/ports.ts";
import { type OwnSecrets, readChapSecrets, readOwnSecrets } from "../config/secrets.ts";
import type { DeviceSettings, Settings, UnitSettings } from "../config.ts";
import { driveClock } from "../device/file/clock.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { serveHttp } from "../http/http.ts";
import type { ChapAccess } from "../iscsi/chap.ts";
import { FileRobot } from "../library/file-robot.ts";
import { type SpawnWorker, WorkerHandle } from "../workers/handle.ts";
import type {
  CacheFacts,
  CacheSpec,
  FileDriveSpec,
  IscsiDriveSpec,
  IscsiUnitSpec,
  SessionNotice,
  WorkerNotice,
} from "../workers/protocol.ts";
import { DeviceDesk } from "./device-desk.ts";
import { type HouseFacts, httpPorts } from "./http-ports.ts";
import { JournalStart } from "./journal-start.ts";
import { openLibrary } from "./library-start.ts";
import { virtualDriveAddress, virtualElements } from "./library-view.ts";
import { Moves } from "./moves.ts";
import { Rates } from "./rates.ts";
import { Stock } from "./stock.ts";
import { VERSION } from "./version.ts";

const log = logOf("house");
const MARKS_EVERY_MS = 100;
const DRAIN_WITHIN_MS = 3_600_000;
const STOP_FRONT_WITHIN_MS = 4000;

export class House implements RunningServer, HouseFacts {
  ready!: ReadyFacts;
  readonly desks: DeviceDesk[] = [];
  readonly startedMs: number;
  state: "starting" | "running" | "draining" | "stopped" = "starting";
  sessions: readonly SessionNotice[] = [];
  readonly faults = new Map<number, readonly string[]>();
  stock!: Stock;
  rates!: Rates;
  private readonly drives = new Map<number, WorkerHandle>();
  private front: WorkerHandle | null = null;
  private moves!: Moves;
  private readonly ended = Promise.withResolvers<string>();
  private ticker: ReturnType<typeof setInterval> | null = null;
  private http: { url: string; port: number; stop(): Promise<void> } | null = null;
  private readonly notes: string[] = [];
  private shownElements = "";
  private chap: ChapAccess | null = null;
  private loginFor: (OwnSecrets & { kind: "secrets" })["loginFor"] = () => null;

  constructor(
    readonly settings: Settings,
    readonly catalog: Catalog,
    private readonly spawn: SpawnWorker,
    readonly clock: Clock,
  ) {
    this.startedMs = clock.wallMs();
  }

  get failed(): Promise<string> {
    return this.ended.promise;
  }

  /** null: running; else why not, for the operator. */
  async open(): Promise<string | null> {
    const { settings } = this;
    const secrets = readChapSecrets(settings.iscsi);
    if (secrets.kind === "refused") return secrets.text;
    const own = readOwnSecrets(settings.library.foreign);
    if (own.kind === "refused") return own.text;
    this.chap = secrets.access;
    this.loginFor = own.loginFor;
    for (const note of [...secrets.notes, ...own.notes]) {
      log.warning(note);
      this.notes.push(note);
    }
    const memories = settings.devices.map((device) =>
      DeviceMemory.create({
        ringBytes: device.ringBytes,
        stripeBytes: device.cache.stripeBytes,
        cacheBytes: device.cache.cacheBytes,
      }),
    );
    this.rates = new Rates(memories);
    for (let id = 1; id <= settings.library.driveCount + settings.library.spareCount; id++) {
      this.drives.set(id, this.worker(`drive ${id}`));
    }
    const robot = await openLibrary(settings.library, this.drives, await this.startChangers());
    if (!(robot instanceof FileRobot)) return `${robot.path}: ${robot.why}`;
    this.stock = new Stock(robot, this.catalog, this.drives, this.clock);
    await Promise.all([...this.drives].map(([id, worker]) => this.startDrive(id, worker, memories)));

    for (const [index, device] of settings.devices.entries()) {
      const memory = memories[index] as DeviceMemory;
      const cache = await this.startCache(index, device, memory);
      if ("refusal" in cache) return cache.refusal;
      const { cacheWorker, facts } = cache;
      const desk = new DeviceDesk({
        index,
        settings: device,
        memory,
        stock: this.stock,
        clock: this.clock,
        front: () => this.front,
        cacheWorker,
      });
      desk.cacheFacts = facts;
      desk.recovered = facts?.recovered ?? null;
      this.desks.push(desk);
    }
    this.moves = new Moves(
      this.stock,
      (address) => this.desks.find((desk) => virtualDriveAddress(desk.index) === address) ?? null,
    );
    for (const problem of await this.stock.robot.reseat()) {
      log.warning(problem);
      this.notes.push(problem);
    }
    const journals = new JournalStart(settings, this.stock, this.moves, this.clock, this.notes);
    await Promise.all(this.desks.map((desk) => journals.begin(desk)));
    return await this.openDoors();
  }

  private worker(name: string): WorkerHandle {
    return new WorkerHandle(
      this.spawn,
      name,
      (notice) => this.hear(notice),
      (why) => {
        if (this.state !== "stopped")
          this.ended.resolve(`${why}: the process ends, and begins anew from the journal`);
      },
    );
  }

  /** Of a library of others; none for files. */
  private async startChangers(): Promise<WorkerHandle[]> {
    const { foreign } = this.settings.library;
    if (foreign === null) return [];
    const workers = foreign.changers.map((_, index) => this.worker(`changer ${index + 1}`));
    const { initiatorName, changers } = foreign;
    await Promise.all(
      workers.map((worker, index) =>
        worker.start({
          role: "changer",
          mailbox: worker.mailbox,
          unit: this.unitOf(changers[index] as UnitSettings, initiatorName),
        }),
      ),
    );
    return workers;
  }

  private unitOf({ host, port, targetName, lun }: UnitSettings, initiatorName: string): IscsiUnitSpec {
    return { host, port, targetName, lun, initiatorName, chap: this.loginFor(targetName) };
  }

  private transportOf(id: number): FileDriveSpec | IscsiDriveSpec {
    const { library } = this.settings;
    const unit = library.foreign?.drives[id - 1];
    if (library.foreign !== null && unit !== undefined) {
      const { capacityBytes } = library;
      return { kind: "iscsi", ...this.unitOf(unit, library.foreign.initiatorName), capacityBytes };
    }
    return {
      kind: "file",
      serial: this.stock.serialOf(id as DriveId),
      paceBytesPerSecond: library.paceBytesPerSecond,
      bufferBytes: library.bufferBytes,
      latencies: { ...library.latencies, commandMs: 0 },
      faults: library.faults.flatMap((text) => faultFor(id, text)),
    };
  }

  private startDrive(id: number, worker: WorkerHandle, memories: readonly DeviceMemory[]): Promise<unknown> {
    const { devices } = this.settings;
    return worker.start({
      role: "drive",
      driveId: id,
      mailbox: worker.mailbox,
      transport: this.transportOf(id),
      devices: memories.map((memory, index) => ({
        memory: memory.shared.memory,
        cache: cacheSpec(devices[index] as DeviceSettings),
      })),
    });
  }

  private async startCache(
    index: number,
    device: DeviceSettings,
    memory: DeviceMemory,
  ): Promise<{ cacheWorker: WorkerHandle | null; facts: CacheFacts | null } | { refusal: string }> {
    const cache = cacheSpec(device);
    if (cache === null) {
      this.notes.push(`${device.name} has no cache: it writes to tape only, and a lost drive ends the job`);
      return { cacheWorker: null, facts: null };
    }
    const cacheWorker = this.worker(`cache ${device.name}`);
    const facts = (await cacheWorker.start({
      role: "cache",
      device: index,
      mailbox: cacheWorker.mailbox,
      memory: memory.shared.memory,
      cache,
    })) as CacheFacts;
    if (facts.refused !== null) {
      const where = facts.refused.path === "" ? `cache of ${device.name}` : facts.refused.path;
      return {
        refusal: `${where}: ${facts.refused.reason}; name another cache file for ${device.name}, or move this one away`,
      };
    }
    this.noteCache(device, facts);
    return { cacheWorker, facts };
  }

  private noteCache(device: DeviceSettings, facts: CacheFacts): void {
    if (!facts.direct) this.notes.push(`${device.name}: the cache works without O_DIRECT: ${facts.describe}`);
    const lost = facts.members.filter((member) => member.state === "lost");
    for (const member of lost) this.notes.push(`${device.name}: cache member ${member.path} is lost`);
  }

  // --- the host's door ---

  private async openDoors(): Promise<string | null> {
    const { settings } = this;
    const front = this.worker("front");
    const facts = (await front.start({
      role: "front",
      mailbox: front.mailbox,
      iscsi: {
        host: settings.iscsi.host,
        port: settings.iscsi.port,
        targetName: settings.iscsi.targetName,
        chap: this.chap,
      },
      testDisk: this.testDisk,
      changer: { serial: this.changerSerial },
      devices: this.desks.map((desk) => ({
        memory: desk.memory.shared.memory,
        lun: desk.parts.settings.lun,
        serial: desk.parts.settings.serial,
        maxBlockBytes: desk.parts.settings.maxBlockBytes,
        padBytes: desk.parts.settings.padBytes,
        hostLagBytes: desk.parts.settings.hostLagBytes,
        elementAddress: virtualDriveAddress(desk.index),
      })),
    })) as { port: number } | { refused: string };
    if ("refused" in facts) return facts.refused;
    this.front = front;
    for (const desk of this.desks) {
      if (desk.state.name !== "Streaming") await front.order({ kind: "outOfService", device: desk.index });
      else if (desk.drive !== null && this.stock.robot.drive(desk.drive)?.barcode != null)
        await this.moves.take(desk, true);
    }
    this.showElements();
    this.ticker = setInterval(() => this.tick(), MARKS_EVERY_MS);

    const http = serveHttp(httpPorts(this), settings.http);
    if (http.kind === "refused") return http.text;
    this.http = http;
    this.state = "running";
    this.ready = this.readyFacts(facts.port, http.url);
    this.catalog.record({
      kind: "house",
      severity: "info",
      device: null,
      transition: "started",
      text: `understudy ${VERSION} is ready`,
      evidence: {},
    });
    return null;
  }

  private get changerSerial(): string {
    const serial = this.stock.robot.inventory().drives[0]?.serial ?? "UND";
    return `${serial.replace(/D\d+$/, "")}LIB`;
  }

  private readyFacts(port: number, httpUrl: string): ReadyFacts {
    const { settings } = this;
    return {
      version: VERSION,
      stateDirectory: settings.stateDirectory,
      iscsi: { host: settings.iscsi.host, port },
      targetName: settings.iscsi.targetName,
      httpUrl,
      units: [
        { lun: 0, kind: "changer", name: "library", serial: this.changerSerial },
        ...this.desks.map((desk) => ({
          lun: desk.parts.settings.lun,
          kind: "drive" as const,
          name: desk.name,
          serial: desk.parts.settings.serial as string,
        })),
        ...(this.testDisk === null
          ? []
          : [{ lun: this.testDisk.lun, kind: "testDisk" as const, name: "for tests only", serial: "" }]),
      ],
      barcodes: this.stock.robot
        .inventory()
        .cartridges.flatMap(({ shown }) => (shown === null ? [] : [shown])),
      notes: this.notes,
    };
  }

  /** A disk in memory behind the last drive, where the settings ask for one. */
  private get testDisk(): { lun: number; bytes: number } | null {
    const bytes = this.settings.iscsi.testDiskBytes;
    return bytes === 0 ? null : { lun: 1 + Math.max(...this.settings.devices.map(({ lun }) => lun)), bytes };
  }

  private showElements(accessed = false): void {
    const elements = virtualElements(this.stock.robot.inventory(), this.desks);
    const text = JSON.stringify(elements);
    if (text === this.shownElements) return;
    this.shownElements = text;
    void this.front?.order({ kind: "elements", elements, accessed });
  }

  cartridgesAccessed(): void {
    this.showElements(true);
  }

  // --- while it runs ---

  private tick(): void {
    this.rates.sample(this.clock.nowMs());
    for (const desk of this.desks) {
      desk.watch(driveClock.nowMs());
      desk.protection.look();
      const driveRate = this.rates.of(desk.index).drive;
      desk.tellMarks(driveRate > 0 ? driveRate : null);
    }
    this.showElements();
  }

  private hear(notice: WorkerNotice): void {
    switch (notice.kind) {
      case "driveFailed":
        log.warning(
          `drive ${notice.driveId}: ${notice.operation} failed at block ${notice.position}: ${notice.outcome} ${notice.senseHex} ${notice.text}`,
        );
        this.catalog.record({
          kind: "drive",
          severity: "warning",
          device: this.settings.devices[notice.device]?.name ?? null,
          transition: "operationFailed",
          text: `drive ${notice.driveId}: ${notice.operation} failed at block ${notice.position}`,
          evidence: {
            drive: notice.driveId,
            operation: notice.operation,
            outcome: notice.outcome,
            sense: notice.senseHex,
            position: notice.position,
            J: notice.J,
          },
        });
        this.desks[notice.device]?.failed(notice);
        return;
      case "caughtUp":
        this.desks[notice.device]?.dispatch({ kind: "caughtUp", attempt: notice.attempt });
        return;
      case "move":
        void this.moves.move(notice.source, notice.destination).then((sense) => {
          this.showElements();
          void this.front?.order({ kind: "moved", moveId: notice.moveId, sense });
        });
        return;
      case "sessions":
        this.sessions = notice.sessions.map((session) => ({
          ...session,
          sinceMs: this.sessions.find(({ id }) => id === session.id)?.sinceMs ?? this.clock.wallMs(),
        }));
        return;
      case "cacheHealth": {
        const desk = this.desks[notice.device];
        if (desk !== undefined) desk.cacheFacts = notice.health as CacheFacts;
        return;
      }
      case "cacheEvent":
        this.catalog.record({
          kind: "cache",
          severity:
            notice.severity === "alarm" ? "alarm" : notice.severity === "warning" ? "warning" : "info",
          device: this.settings.devices[notice.device]?.name ?? null,
          transition: notice.transition,
          text: notice.text,
          evidence: {},
        });
        return;
      default:
        return;
    }
  }

  driveWorker(id: number): WorkerHandle | undefined {
    return this.drives.get(id);
  }

  // --- the end ---

  notOnTape(): readonly StopReport[] {
    return this.desks.map((desk) => {
      const { memory } = desk;
      const bytes = Math.max(0, memory.get(at.RECEIVED) - memory.get(at.ON_TAPE));
      const blocks = bytes === 0 ? 0 : Math.max(1, memory.get(at.HOST_BLOCKS) - memory.get(at.DRIVE_BLOCKS));
      return { device: desk.name, bytesNotOnTape: bytes, blocksNotOnTape: blocks };
    });
  }

  async drainAndStop(): Promise<readonly StopReport[]> {
    this.state = "draining";
    for (const desk of this.desks) desk.dispatch({ kind: "stopRequested" });
    await Promise.race([
      Promise.all(this.desks.map((desk) => desk.readyToStop.promise)),
      Bun.sleep(DRAIN_WITHIN_MS),
    ]);
    if (this.ticker !== null) clearInterval(this.ticker);
    await this.front?.order({ kind: "stop" }, STOP_FRONT_WITHIN_MS);
    this.state = "stopped";
    for (const desk of this.desks) {
      await desk.parts.cacheWorker?.order({ kind: "checkpoint" }, STOP_FRONT_WITHIN_MS);
      await desk.parts.cacheWorker?.order({ kind: "close" }, STOP_FRONT_WITHIN_MS);
    }
    await this.http?.stop();
    const report = this.notOnTape();
    this.catalog.record({
      kind: "house",
      severity: "info",
      device: null,
      transition: "stopped",
      text: "stopped",
      evidence: {},
    });
    this.catalog.close();
    return report;
  }
}

function cacheSpec(device: DeviceSettings): CacheSpec | null {
  const { cache } = device;
  if (cache.memberPaths.length === 0) return null;
  return {
    owner: device.name,
    memberPaths: cache.memberPaths,
    parity: cache.parity,
    stripBytes: cache.stripBytes,
    cacheBytes: cache.cacheBytes,
    ringBytes: device.ringBytes,
  };
}

/** "drive 1: on write 400: hardware error" */
function faultFor(id: number, text: string): string[] {
  const match = /^\s*drive\s+(\d+)\s*:\s*(.*)$/i.exec(text);
  return match !== null && Number(match[1]) === id ? [match[2] as string] : [];
}
