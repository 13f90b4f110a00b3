/** @module Opens a library of others: asks its changers where everything is, joins that with what we remember, and moves through
 *  them. A changer that does not answer stops the start: nobody would know where the cartridges are. */
import type { LibrarySettings } from "../config.ts";
import { drawPrefix } from "../library/create.ts";
import { FileRobot } from "../library/file-robot.ts";
import { type ForeignWanted, foreignLibrary, type Place } from "../library/foreign.ts";
import { type DriveBay, type MoveOutcome, refused } from "../library/robot.ts";
import { type LibraryProblem, libraryExists, loadLibraryState, saveLibraryState } from "../library/state.ts";
import type { WorkerHandle } from "../workers/handle.ts";
import type { ChangerElements, ChangerMoved } from "../workers/protocol.ts";

const ELEMENTS_WITHIN_MS = 1_000_000;
const MOVE_WITHIN_MS = 1_000_000;

export async function openForeignLibrary(
  settings: LibrarySettings,
  changers: readonly WorkerHandle[],
  bay: (id: number) => DriveBay | null,
): Promise<FileRobot | LibraryProblem> {
  const { directory, foreign } = settings;
  if (foreign === null) throw new Error("this library is not of others");
  const problem = (why: string): LibraryProblem => ({ kind: "problem", path: directory, why });
  const told = await elementsOf(changers);
  if (typeof told === "string") return problem(told);
  const before = libraryExists(directory) ? loadLibraryState(directory, false) : null;
  if (before !== null && "kind" in before) return before;
  const serialPrefix = before?.drives[0]?.serial.replace(/D\d+$/, "") ?? drawPrefix();
  const wanted: ForeignWanted = {
    drives: foreign.drives.map(({ changer, element }, index) => ({
      changer,
      element,
      isSpare: index >= settings.driveCount,
    })),
    spareCartridges: settings.spareCartridgeCount,
    capacityBytes: settings.capacityBytes,
    serialPrefix,
  };
  const found = foreignLibrary(told, wanted, before);
  if (typeof found === "string") return problem(found);
  let { places } = found;
  saveLibraryState(directory, found.state);
  return FileRobot.open({
    directory,
    bay: (id) => bay(id),
    reaches: (source, destination) => places.get(source)?.changer === places.get(destination)?.changer,
    hand: (source, destination) => move(changers, places, source, destination),
    look: async (known) => {
      const seen = await elementsOf(changers);
      if (typeof seen === "string") return seen;
      // A drive that came back repaired is a spare now, whatever the settings say of it.
      const drives = wanted.drives.map((drive, index) => ({
        ...drive,
        isSpare: known.drives[index]?.isSpare ?? drive.isSpare,
      }));
      const now = foreignLibrary(seen, { ...wanted, drives }, known);
      if (typeof now === "string") return now;
      ({ places } = now);
      return now.state;
    },
  });
}

type Elements = (ChangerElements & { kind: "elements" })["elements"];

/** What each changer sees, in words where one does not say. */
async function elementsOf(changers: readonly WorkerHandle[]): Promise<Elements[] | string> {
  const told = await Promise.all(
    changers.map((changer) => changer.order<ChangerElements>({ kind: "elements" }, ELEMENTS_WITHIN_MS)),
  );
  const elements: Elements[] = [];
  for (const [index, answer] of told.entries()) {
    if (answer?.kind !== "elements")
      return answer?.text ?? `changer ${index + 1} does not answer; is it switched on?`;
    elements.push(answer.elements);
  }
  return elements;
}

async function move(
  changers: readonly WorkerHandle[],
  places: ReadonlyMap<number, Place>,
  source: number,
  destination: number,
): Promise<MoveOutcome | null> {
  const from = places.get(source);
  const to = places.get(destination);
  if (from === undefined || to === undefined)
    return refused("noSuchElement", `there is no element ${from === undefined ? source : destination}`);
  if (from.changer !== to.changer)
    return refused("noSuchElement", "the two elements belong to different changers");
  const order = { kind: "move", source: from.address, destination: to.address };
  const moved = await changers[from.changer]?.order<ChangerMoved>(order, MOVE_WITHIN_MS);
  if (moved?.kind === "moved") return null;
  const text = `changer ${from.changer + 1}: ${moved?.text ?? "it does not answer"}`;
  if (moved === undefined) return refused("jam", text);
  const { key, asc, ascq } = moved;
  // Medium removal prevented, or a drive that holds on.
  const reason = asc === 0x53 ? "stuck" : "jam";
  return { kind: "refused", reason, text, key, asc, ascq };
}
