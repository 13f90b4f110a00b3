/** @module What the API may ask of the house. */
import type { DriveId } from "../base/brands.ts";
import type { Clock } from "../base/clock.ts";
import type { StatusFacts } from "../base/status.ts";
import { MIB } from "../base/units.ts";
import type { Replacement } from "../cache/replacement.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { ReadyFacts } from "../cli/ports.ts";
import type { Settings } from "../config.ts";
import type { HttpPorts, OrderOutcome } from "../http/ports.ts";
import type { StockOutcome } from "../library/robot.ts";
import type { WorkerHandle } from "../workers/handle.ts";
import type { SessionNotice } from "../workers/protocol.ts";
import type { DeviceDesk } from "./device-desk.ts";
import { earlyWarningOf } from "./library-start.ts";
import { libraryStatus } from "./library-view.ts";
import type { Rates } from "./rates.ts";
import { deviceStatus, driveStatus, standInStatus } from "./status-facts.ts";
import type { Stock } from "./stock.ts";
import { VERSION } from "./version.ts";

const ANSWER_WITHIN_MS = 2000;
/** The new disk's room is reserved first. */
const REPLACE_WITHIN_MS = 60_000;

/** What the API sees of the running house. */
export interface HouseFacts {
  readonly state: StatusFacts["state"];
  readonly startedMs: number;
  readonly settings: Settings;
  readonly ready: ReadyFacts;
  readonly clock: Clock;
  readonly catalog: Catalog;
  readonly stock: Stock;
  readonly desks: readonly DeviceDesk[];
  readonly rates: Rates;
  readonly sessions: readonly SessionNotice[];
  /** Fault rules armed in each drive, as it last told them. */
  readonly faults: Map<number, readonly string[]>;
  driveWorker(id: number): WorkerHandle | undefined;
  /** Somebody was at the mail slots: hosts are told. */
  cartridgesAccessed(): void;
}

export function httpPorts(house: HouseFacts): HttpPorts {
  const known = (drive: DriveId): OrderOutcome | null =>
    house.driveWorker(drive) === undefined ? { kind: "notFound", text: `there is no drive ${drive}` } : null;
  const refreshFaults = async (drive: DriveId) => {
    const rules = await house
      .driveWorker(drive)
      ?.order<readonly string[]>({ kind: "faults" }, ANSWER_WITHIN_MS);
    house.faults.set(drive, rules ?? []);
  };
  const tell = (drive: DriveId, transition: string, text: string) =>
    house.catalog.record({
      kind: "operator",
      severity: "info",
      device: null,
      transition,
      text,
      evidence: { drive },
    });
  const byHand = async (transition: string, work: Promise<StockOutcome>): Promise<OrderOutcome> => {
    const outcome = await work;
    if (outcome.kind !== "done") return outcome;
    const { barcode, text } = outcome;
    house.catalog.record({
      kind: "operator",
      severity: "info",
      device: null,
      transition,
      text,
      evidence: { barcode },
    });
    house.cartridgesAccessed();
    return { kind: "done", text };
  };
  return {
    status: () => ({
      version: VERSION,
      state: house.state,
      startedMs: house.startedMs,
      atMs: house.clock.wallMs(),
      stateDirectory: house.settings.stateDirectory,
      iscsi: {
        host: house.settings.iscsi.host,
        port: house.ready.iscsi.port,
        targetName: house.settings.iscsi.targetName,
      },
      devices: house.desks.map((desk) => deviceStatus(desk, house.stock, house.rates)),
      drives: driveStatus(house.stock, house.desks, house.faults),
      standIns: standInStatus(house.stock),
      sessions: [...house.sessions],
    }),
    library: () => libraryStatus(house.settings.library.kind, house.stock.robot.inventory(), house.desks),
    events: house.catalog,
    async injectFault(drive, rule) {
      const unknown = known(drive);
      if (unknown !== null) return unknown;
      const result = await house
        .driveWorker(drive)
        ?.order<{ armed?: string; malformed?: { expected: string; given: string } }>(
          { kind: "arm", rule },
          ANSWER_WITHIN_MS,
        );
      if (result?.malformed !== undefined)
        return {
          kind: "malformed",
          text: `expected ${result.malformed.expected}, found ${JSON.stringify(result.malformed.given)}`,
        };
      if (result?.armed === undefined) return { kind: "conflict", text: `drive ${drive} does not answer` };
      await refreshFaults(drive);
      tell(drive, "faultInjected", `fault armed in drive ${drive}: ${result.armed}`);
      return { kind: "done", text: `drive ${drive}: ${result.armed}` };
    },
    async clearFaults(drive) {
      const unknown = known(drive);
      if (unknown !== null) return unknown;
      await house.driveWorker(drive)?.order({ kind: "clearFaults" }, ANSWER_WITHIN_MS);
      await refreshFaults(drive);
      tell(drive, "faultsCleared", `faults of drive ${drive} cleared`);
      return { kind: "done", text: `drive ${drive}: no faults` };
    },
    async returnDrive(drive) {
      const unknown = known(drive);
      if (unknown !== null) return unknown;
      if (!house.stock.isFailed(drive)) return { kind: "conflict", text: `drive ${drive} has not failed` };
      await house.driveWorker(drive)?.order({ kind: "clearFaults" }, ANSWER_WITHIN_MS);
      await refreshFaults(drive);
      house.stock.returnDrive(drive);
      tell(drive, "driveReturned", `drive ${drive} is back; it stands by as a spare`);
      for (const desk of house.desks) desk.dispatch({ kind: "driveReturned", drive });
      return { kind: "done", text: `drive ${drive} stands by as a spare` };
    },
    async replaceCacheDisk({ device, member }) {
      const desk = house.desks.find((one) => one.name === device);
      const path = desk?.parts.settings.cache.memberPaths[member - 1];
      if (desk === undefined || path === undefined)
        return { kind: "notFound", text: `${device} has no cache member ${member}` };
      const result = await desk.parts.cacheWorker?.order<Replacement>(
        { kind: "replaceMember", member: member - 1, path },
        REPLACE_WITHIN_MS,
      );
      if (result?.kind !== "rebuilding")
        return { kind: "conflict", text: `${path}: ${result?.reason ?? "the cache does not answer"}` };
      return { kind: "done", text: `${path} is being rebuilt; ${device} goes on meanwhile` };
    },
    addCartridge: ({ barcode, megabytes, isSpare }) => {
      const capacityBytes = megabytes === null ? house.settings.library.capacityBytes : megabytes * MIB;
      const wanted = { barcode, capacityBytes, earlyWarningBytes: earlyWarningOf(capacityBytes), isSpare };
      return byHand("cartridgeAdded", house.stock.robot.addCartridge(wanted));
    },
    exportCartridge(barcode) {
      const desk = house.desks.find(({ state }) => state.cartridge === barcode);
      return desk === undefined
        ? byHand("cartridgeExported", house.stock.robot.exportCartridge(barcode))
        : { kind: "conflict", text: `${barcode} is in use by ${desk.name}: let the server unload it first` };
    },
    importCartridge: (barcode) => byHand("cartridgeImported", house.stock.robot.importCartridge(barcode)),
    operatorRetry({ device, drive }) {
      const desk = house.desks.find((one) => one.name === device);
      if (desk === undefined) return { kind: "notFound", text: `there is no device ${device}` };
      if (desk.state.name !== "Halted")
        return { kind: "conflict", text: `${device} is not halted: it is ${desk.state.name}` };
      desk.dispatch({ kind: "operatorRetry", drive });
      return { kind: "done", text: `${device} tries again` };
    },
  };
}
