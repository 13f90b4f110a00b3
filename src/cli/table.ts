/** @module Columns of text: aligned with spaces, a heading in bold on a terminal, nothing else. */
import { stripVTControlCharacters, styleText } from "node:util";

export interface Column {
  readonly heading: string;
  readonly align?: "left" | "right";
}

export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  terminal: boolean,
): string {
  const widths = columns.map((column, index) =>
    Math.max(width(column.heading), ...rows.map((row) => width(row[index] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const gap = " ".repeat(Math.max(0, (widths[index] ?? 0) - width(cell)));
        return columns[index]?.align === "right" ? gap + cell : cell + gap;
      })
      .join("  ")
      .trimEnd();
  const heading = line(columns.map((column) => column.heading));
  return `${[terminal ? bold(heading) : heading, ...rows.map(line)].join("\n")}\n`;
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

export function bold(text: string): string {
  return styleText("bold", text, { validateStream: false });
}

export type Tone = "good" | "warning" | "alarm";
const COLOURS = { good: "green", warning: "yellow", alarm: "red" } as const;

/** Coloured on a terminal, as it is elsewhere. */
export function toned(text: string, tone: Tone, terminal: boolean): string {
  return terminal ? styleText(COLOURS[tone], text, { validateStream: false }) : text;
}

/** "2026-03-01 04:05:06" in local time. */
export function timeText(atMs: number): string {
  const at = new Date(atMs);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
