/** @module `understudy doctor`: is this set-up fit to be relied upon, and if not, what is to be done? */
import { type Command, Option } from "commander";
import { EXIT } from "../exit.ts";
import type { CliPorts, DoctorReport, FindingLevel } from "../ports.ts";
import { table, toned } from "../table.ts";

const WORDS: Readonly<Record<FindingLevel, string>> = { good: "ok", warning: "warning", fault: "FAULT" };
const TONES = { good: "good", warning: "warning", fault: "alarm" } as const;
const CODES: Readonly<Record<FindingLevel, number>> = {
  good: EXIT.done,
  warning: EXIT.doubtful,
  fault: EXIT.failed,
};

export function addDoctor(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("doctor")
    .description("check a set-up before it is relied upon, and say what to do")
    .addOption(new Option("-c, --config <file>", "settings, as understudy.toml"))
    .option("--state <dir>", "state directory")
    .option("--json", "as JSON")
    .action(async (options: { config?: string; state?: string; json?: true }) => {
      const report = await ports.doctor({
        configFile: options.config ?? null,
        stateDirectory: options.state ?? null,
      });
      const { out, terminal } = ports.console;
      out(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : reportText(report, terminal));
      finish(CODES[report.worst]);
    });
}

export function reportText({ findings, worst }: DoctorReport, terminal: boolean): string {
  const rows = findings.map(({ area, level, text }) => [
    toned(WORDS[level], TONES[level], terminal),
    area,
    text,
  ]);
  const list = table([{ heading: "" }, { heading: "looked at" }, { heading: "found" }], rows, terminal);
  const todo = findings.filter(({ level }) => level !== "good");
  if (worst === "good") return `${list}\nNothing to be done.\n`;
  const lines = todo.map(({ area, text, todo }) => `  - ${area}: ${text}\n    -> ${todo}`);
  return `${list}\nTo be done:\n${lines.join("\n")}\n`;
}
