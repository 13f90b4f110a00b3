/** @module Gathers what the house says of itself from the memories, the directors and the library. Reads only, but for the marks that it showed last. */
import * as at from "../../wasm/ring/layout.ts";
import type { Barcode } from "../base/brands.ts";
import type { CacheStatus, DeviceStatus, DriveStatus, StandInStatus } from "../base/status.ts";
import { FIRST_DRIVE_ADDRESS, FIRST_SLOT_ADDRESS } from "../library/robot.ts";
import type { DeviceDesk } from "./device-desk.ts";
import type { Rates } from "./rates.ts";
import type { Stock } from "./stock.ts";

const FLOWS = ["normal", "suspended", "reduced", "busy", "report"] as const;
const FOLLOWERS = ["none", "ring", "disk"] as const;
const CACHES = ["none", "healthy", "degraded", "lost"] as const;

export function deviceStatus(desk: DeviceDesk, stock: Stock, rates: Rates): DeviceStatus {
  const { memory, state } = desk;
  const { settings } = desk.parts;
  const hostBytes = memory.figure(at.HOST_BYTES);
  const hostBlocks = memory.get(at.HOST_BLOCKS);
  const received = memory.get(at.RECEIVED);
  const durable = memory.get(at.DURABLE);
  const onTape = memory.get(at.ON_TAPE);
  // Marks are kept in journal bytes; people count the host's: what is behind a mark is at most what is missing there.
  const behind = (mark: number) => Math.min(hostBytes, Math.max(0, received - mark));
  const blocksBehind = (mark: number) =>
    hostBytes === 0 ? 0 : Math.min(hostBlocks, Math.ceil((behind(mark) / hostBytes) * hostBlocks));
  const mark = (name: "cached" | "onTape", offset: number) => {
    const bytes = Math.max(desk.shownBytes[name], hostBytes - behind(offset));
    desk.shownBytes[name] = bytes;
    return { bytes, blocks: hostBlocks - blocksBehind(offset) };
  };
  const cacheState = CACHES[memory.word(at.CACHE_STATE)] ?? "none";
  const cacheKeeps = cacheState === "healthy" || cacheState === "degraded";
  const { drive } = desk;
  const found = desk.cartridge;
  return {
    name: settings.name,
    lun: settings.lun,
    serial: settings.serial,
    state: state.name,
    reason: state.name === "Halted" ? state.text : null,
    drive: drive === null ? null : { id: drive, serial: stock.serialOf(drive) },
    cartridge:
      state.cartridge === null
        ? null
        : {
            barcode: stock.shown(state.cartridge) ?? state.cartridge,
            serial: found?.serial ?? null,
            capacityBytes: found?.capacityBytes ?? 0,
            remainingBytes: Math.max(0, (found?.capacityBytes ?? 0) - hostBytes),
            writeProtected: found?.writeProtected ?? false,
          },
    marks: {
      received: { bytes: hostBytes, blocks: hostBlocks },
      cached: cacheKeeps ? mark("cached", durable) : { bytes: 0, blocks: 0 },
      onTape: mark("onTape", onTape),
    },
    owedFilemarks: memory.get(at.OWED) > onTape ? 1 : 0,
    follower: FOLLOWERS[memory.word(at.FOLLOWER)] ?? "none",
    flow: FLOWS[memory.word(at.FLOW)] ?? "normal",
    rates: rates.of(desk.index),
    hostStallMsMax: memory.figure(at.HOST_STALL_MS_MAX),
    driveIdleWhileWaitingMs: memory.figure(at.DRIVE_IDLE_MS),
    ringBytes: memory.ringBytes,
    cache: cacheStatus(desk, cacheState, received - onTape),
    protects: {
      drive: cacheKeeps,
      cartridge: memory.wholeImage() !== null,
    },
  };
}

function cacheStatus(desk: DeviceDesk, state: CacheStatus["state"], pinnedBytes: number): CacheStatus {
  const { cache } = desk.parts.settings;
  return {
    state,
    parity: cache.parity,
    capacityBytes: cache.cacheBytes,
    pinnedBytes,
    direct: desk.cacheFacts?.direct ?? false,
    members: (desk.cacheFacts?.members ?? []).map(({ path, state: member }) => ({ path, state: member })),
  };
}

export function standInStatus(stock: Stock): StandInStatus[] {
  const place = (barcode: Barcode) => {
    const address = stock.cartridge(barcode)?.address;
    if (address === undefined) return "no element (it was exported)";
    return address >= FIRST_SLOT_ADDRESS
      ? `slot ${address - FIRST_SLOT_ADDRESS + 1}`
      : `drive ${address - FIRST_DRIVE_ADDRESS + 1}`;
  };
  return stock.robot.standIns().map(({ label, replacement, takenFrom, reason, atMs }) => ({
    label,
    failedIn: place(label),
    replacement,
    replacementIn: place(replacement),
    fromSlot: takenFrom - FIRST_SLOT_ADDRESS + 1,
    reason,
    atMs,
  }));
}

export function driveStatus(
  stock: Stock,
  desks: readonly DeviceDesk[],
  faults: ReadonlyMap<number, readonly string[]>,
): DriveStatus[] {
  return stock.robot.inventory().drives.map((drive): DriveStatus => {
    const desk = desks.find((one) => one.drive === drive.id);
    const state =
      drive.failure !== null ? "failed" : desk !== undefined ? "coupled" : drive.isSpare ? "spare" : "idle";
    return {
      id: drive.id,
      serial: drive.serial,
      state,
      device: desk?.name ?? null,
      cartridge: drive.barcode,
      failure: drive.failure === null ? null : { atMs: drive.failure.atMs, text: drive.failure.reason },
      faults: [...(faults.get(drive.id) ?? [])],
    };
  });
}
