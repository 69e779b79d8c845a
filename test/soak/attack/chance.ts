/** Choices that follow from a seed, so that every try can be had again. */
import { randomFrom } from "../../support/random.ts";

export class Chance {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = randomFrom(seed);
    // The first numbers of neighbouring seeds are neighbours.
    for (let at = 0; at < 4; at++) this.#next();
  }

  /** A whole number from 0 up to and without `limit`. */
  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  /** True in so many of a hundred cases. */
  percent(share: number): boolean {
    return this.#next() * 100 < share;
  }

  pick<T>(list: readonly T[]): T {
    const chosen = list[this.below(list.length)];
    if (chosen === undefined) throw new RangeError("There is nothing to pick.");
    return chosen;
  }

  /** Mostly small, at times up to `limit`. */
  size(limit: number): number {
    return Math.floor(this.#next() ** 4 * limit);
  }

  /** Other letters that a reader without regard to case takes for the same ones. */
  recased(word: string): string {
    const folded = this.percent(30) ? word.replaceAll("s", "\u017f").replaceAll("k", "\u212a") : word;
    if (folded !== word) return folded;
    const at = this.below(word.length);
    return word.slice(0, at) + word.charAt(at).toUpperCase() + word.slice(at + 1);
  }

  /** A spelling that some reader takes for `word`: its own, or in other letters, or with something invisible in it. */
  spelled(word: string): string {
    switch (this.below(8)) {
      case 0:
        return word.toUpperCase();
      case 1:
        return word.charAt(0).toUpperCase() + word.slice(1);
      case 2:
        return word.replace(/[_-](\w)/g, (_, letter: string) => letter.toUpperCase());
      case 3:
        return `${word}${this.pick([" ", "\u0000", "\u200b", "\ufeff", "\n"])}`;
      case 4:
        return word.replaceAll("s", "\u017f").replaceAll("k", "\u212a");
      case 5:
        return [...word]
          .map((letter) => String.fromCharCode(letter.charCodeAt(0) + (/[a-z]/.test(letter) ? 0xfee0 : 0)))
          .join("");
      default:
        return word;
    }
  }
}
