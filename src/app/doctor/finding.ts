/** @module What the doctor writes down. */
import type { Finding, FindingLevel } from "../../cli/ports.ts";

export class Findings {
  readonly list: Finding[] = [];

  good(area: string, text: string): void {
    this.#add(area, "good", text, "");
  }

  warning(area: string, text: string, todo: string): void {
    this.#add(area, "warning", text, todo);
  }

  fault(area: string, text: string, todo: string): void {
    this.#add(area, "fault", text, todo);
  }

  #add(area: string, level: FindingLevel, text: string, todo: string): void {
    this.list.push({ area, level, text, todo });
  }

  get worst(): FindingLevel {
    if (this.list.some(({ level }) => level === "fault")) return "fault";
    return this.list.some(({ level }) => level === "warning") ? "warning" : "good";
  }
}
