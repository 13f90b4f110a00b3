/** @module What a cache array tells the house: an event of kind "cache" (base/events.ts) without the device's name,
 *  which the owner adds. Events leave a Worker by postMessage, so they are plain values. */
import type { Evidence, Severity } from "../base/events.ts";

export type CacheTransition =
  | "cacheCreated"
  | "cacheOpened"
  | "memberLost"
  | "cacheDegraded"
  | "cacheLost"
  | "rebuildStarted"
  | "rebuildUnreadable"
  | "cacheHealthy";

export interface CacheEvent {
  readonly kind: "cache";
  readonly severity: Severity;
  readonly transition: CacheTransition;
  readonly text: string;
  readonly evidence: Evidence;
}

export type CacheListener = (event: CacheEvent) => void;

export function cacheEvent(
  severity: Severity,
  transition: CacheTransition,
  text: string,
  evidence: Evidence,
): CacheEvent {
  return { kind: "cache", severity, transition, text, evidence };
}
