/** @module Who descends from whom in a store, backups and packs together: pure.
 *  (1) Links are those of the headers and never change; what changes is which archives are living (backups) and which
 *      are packs. A parent's number is lower than its child's.
 *  (2) An index lists nothing of a pack that its parent's index does not list, but for the archive's own chunks: so what
 *      the heirs of a pack need is what its first living descendants need.
 *  (3) An archive that is in neither place breaks the chain there: whoever hangs on it has no parent. */

export interface Link {
  readonly number: number;
  /** As the header names it. */
  readonly parent: number | null;
  readonly indexBase: number | null;
  /** A backup; false: a pack. */
  readonly living: boolean;
}

interface Member {
  readonly link: Link;
  living: boolean;
  readonly children: number[];
}

export class Family {
  readonly #members = new Map<number, Member>();

  constructor(links: Iterable<Link>) {
    for (const link of links) this.#members.set(link.number, { link, living: link.living, children: [] });
    for (const { link } of this.#members.values()) {
      if (link.parent !== null) this.#members.get(link.parent)?.children.push(link.number);
    }
  }

  has(number: number): boolean {
    return this.#members.has(number);
  }

  isLiving(number: number): boolean {
    return this.#members.get(number)?.living === true;
  }

  /** The backup becomes a pack. */
  pare(number: number): void {
    const member = this.#members.get(number);
    if (member !== undefined) member.living = false;
  }

  /** The pack is no more. */
  remove(number: number): void {
    this.#members.delete(number);
  }

  /** Nearest living ancestor. */
  parentOf(number: number): number | null {
    let at = this.#members.get(number)?.link.parent ?? null;
    while (at !== null) {
      const member = this.#members.get(at);
      if (member === undefined) return null;
      if (member.living) return at;
      at = member.link.parent;
    }
    return null;
  }

  /** Packs between an archive and its nearest living ancestor, nearest first. */
  packsAbove(number: number): number[] {
    const found: number[] = [];
    let at = this.#members.get(number)?.link.parent ?? null;
    while (at !== null) {
      const member = this.#members.get(at);
      if (member === undefined || member.living) break;
      found.push(at);
      at = member.link.parent;
    }
    return found;
  }

  /** The first ancestor that is in neither place; null: the chain is whole. */
  missingAbove(number: number): number | null {
    let at = this.#members.get(number)?.link.parent ?? null;
    while (at !== null) {
      const member = this.#members.get(at);
      if (member === undefined) return at;
      at = member.link.parent;
    }
    return null;
  }

  /** First living descendants, ascending. */
  heirsOf(number: number): number[] {
    const found: number[] = [];
    const open = [number];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const child of this.#members.get(at)?.children ?? []) {
        const member = this.#members.get(child);
        if (member === undefined) continue;
        if (member.living) found.push(child);
        else open.push(child);
      }
    }
    return found.sort((a, b) => a - b);
  }

  /** The archives whose indexes make up a backup's: the full one first, its own last; a number: that one is missing. */
  indexChain(number: number): number[] | number {
    const chain = [number];
    let base = this.#members.get(number)?.link.indexBase ?? null;
    while (base !== null) {
      const member = this.#members.get(base);
      if (member === undefined) return base;
      chain.push(base);
      base = member.link.indexBase;
    }
    return chain.reverse();
  }

  /** Packs whose index is part of a living backup's. */
  packsWithIndex(): Set<number> {
    const found = new Set<number>();
    for (const { link, living } of this.#members.values()) {
      if (!living) continue;
      let base = link.indexBase;
      while (base !== null && !found.has(base)) {
        const member = this.#members.get(base);
        if (member === undefined) break;
        if (!member.living) found.add(base);
        base = member.link.indexBase;
      }
    }
    return found;
  }

  packs(): number[] {
    return [...this.#members.values()]
      .filter(({ living }) => !living)
      .map(({ link }) => link.number)
      .sort((a, b) => a - b);
  }

  /** A copy to try things on. */
  copy(): Family {
    return new Family([...this.#members.values()].map(({ link, living }) => ({ ...link, living })));
  }
}
