/** @module The versions of one path over time (TREE-18): "lost at 13:20, found in the micro backup of 13:15".
 *  (1) A backup's index is opened only if its list of changed paths does not say that the path is as in its parent.
 *  (2) Backups are in the order of their numbers; a version is a run of them that hold the same. */
import { isFault, type StoreFault } from "../store/contract.ts";
import { type Facts, factsOf, sameVersion } from "./facts.ts";
import { guarded, type QueryBackup, type QuerySource } from "./source.ts";

/** The path as a run of backups holds it. */
export interface Version {
  /** Null: these backups do not have it. Only between two others, or behind the last. */
  readonly facts: Facts | null;
  /** Ascending; those whose index is damaged are not among them. */
  readonly backups: readonly QueryBackup[];
}

export interface VersionsAnswer {
  /** Oldest first; none: no backup has it. */
  readonly versions: readonly Version[];
  /** Backups that could not be asked. */
  readonly faults: readonly { readonly backup: QueryBackup; readonly fault: StoreFault }[];
  /** Indexes that had to be looked into. */
  readonly opened: number;
}

/** What is known of a path in the own records of an archive already; undefined: the index must be asked.
 *  null: it is known not to be in there. */
export type Knowledge = (number: number) => Facts | null | undefined;

const NO_KNOWLEDGE: Knowledge = () => undefined;

/** `path`: as the index has it. */
export function versionsOf(
  source: QuerySource,
  path: Uint8Array,
  known: Knowledge = NO_KNOWLEDGE,
): VersionsAnswer {
  const history = new History(source, path, known);
  const versions: { facts: Facts | null; backups: QueryBackup[] }[] = [];
  const faults: { backup: QueryBackup; fault: StoreFault }[] = [];
  for (const backup of source.backups) {
    const facts = history.at(backup.number);
    if (isFault(facts)) {
      faults.push({ backup, fault: facts });
      continue;
    }
    const last = versions.at(-1);
    if (last !== undefined && sameVersion(last.facts, facts)) last.backups.push(backup);
    else if (last !== undefined || facts !== null) versions.push({ facts, backups: [backup] });
  }
  return { versions, faults, opened: history.opened };
}

class History {
  opened = 0;
  readonly #source: QuerySource;
  readonly #path: Uint8Array;
  readonly #known: Knowledge;
  readonly #held = new Map<number, Facts | null | StoreFault>();

  constructor(source: QuerySource, path: Uint8Array, known: Knowledge) {
    this.#source = source;
    this.#path = path;
    this.#known = known;
  }

  /** The path in backup `number`. */
  at(number: number): Facts | null | StoreFault {
    // Backups that hold the path as their parents do, up to one that changed it, or of which all is known.
    const same: number[] = [];
    let one = number;
    for (;;) {
      same.push(one);
      const held = this.#held.get(one);
      // A parent's damage is not its heir's.
      if (held !== undefined && (one === number || !isFault(held))) return this.#hold(same, held);
      const origin = this.#source.originOf(one);
      const known = this.#known(one);
      if (known !== undefined && (known !== null || origin?.indexBase === null)) {
        return this.#hold(same, known);
      }
      const parent = origin?.parent ?? null;
      if (parent === null || this.#source.originOf(parent) === null) break;
      if (this.#source.changesOf(one).mayHold(this.#path)) break;
      one = parent;
    }
    return this.#hold(same, this.#ask(number, one));
  }

  #hold(numbers: readonly number[], facts: Facts | null | StoreFault): Facts | null | StoreFault {
    if (isFault(facts)) this.#held.set(numbers[0] as number, facts);
    else for (const number of numbers) this.#held.set(number, facts);
    return facts;
  }

  /** `changed`: the backup or pack from which `number` has the path, or the lack of it. */
  #ask(number: number, changed: number): Facts | null | StoreFault {
    this.opened++;
    // What has changed is among the records that came in; whether it has gone only the whole index can tell.
    const own = this.#source.ownRecord(changed, this.#path);
    if (own !== null && !isFault(own)) return factsOf(own);
    if (own === null && this.#source.originOf(changed)?.indexBase === null) return null;
    const index = this.#source.indexOf(number);
    if (isFault(index)) return index;
    return guarded(number, () => {
      const entry = index.find(this.#path);
      return entry === null ? null : factsOf(entry);
    });
  }
}
