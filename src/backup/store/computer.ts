/** @module This computer, as stores know it. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Computer } from "./contract.ts";

export function thisComputer(): Computer {
  const name = hostname();
  let machineId = "";
  try {
    machineId = readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    // Containers often have none: the name must do.
  }
  return { name, machineId: machineId === "" ? name : machineId };
}
