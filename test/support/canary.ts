/**
 * Canaries: texts that nobody else could have written, planted wherever something confidential goes in, and a scan that
 * says in which places they came out again.
 *
 * A canary is letters and digits only, so that escapes of JSON and of URLs leave it as it is. It is short, and has no
 * prefix of any provider's keys: nothing hides it by its looks.
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";

/** Digits that tell one canary from all others of its run. */
const SERIAL_DIGITS = 3;
/** Behind the digits: base64 may share the bits of the last character with what follows. */
const END = "q";
/** The kind of what begins as a canary and does not go on as one. */
export const FRAGMENT = "a fragment of a canary";

/** Base64 of `text` wherever it stands in a longer one: the characters that its neighbours cannot change. */
function base64Spellings(text: string): string[] {
  return [0, 1, 2].map((offset) => {
    const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]);
    return bytes.toString("base64").slice(Math.ceil((offset * 8) / 6), Math.floor((bytes.length * 8) / 6));
  });
}

/** `text` in the spellings, other than its own, that code or a runtime could give it. */
function otherSpellings(text: string): Buffer[] {
  const hex = Buffer.from(text).toString("hex");
  const texts = [text.toUpperCase(), ...base64Spellings(text), hex, hex.toUpperCase()];
  return [
    ...texts.map((each) => Buffer.from(each)),
    Buffer.from(text, "utf16le"),
    Buffer.from(text, "utf16le").swap16(),
  ];
}

export class Canaries {
  /** How all planted canaries of this run begin: one look tells whether a place holds any. */
  readonly #beginning = `zq${randomBytes(4).toString("hex")}`;
  readonly #otherBeginnings = otherSpellings(this.#beginning);
  /** Kinds by serial number. */
  readonly #planted: string[] = [];
  readonly #issued: { readonly kind: string; readonly spellings: readonly Buffer[] }[] = [];
  readonly #found = new Map<string, Set<string>>();

  /** A new canary of `kind`. */
  plant(kind: string): string {
    return this.#spell(this.#planted.push(kind) - 1);
  }

  #spell(serial: number): string {
    return this.#beginning + serial.toString(16).padStart(SERIAL_DIGITS, "0") + END;
  }

  /** A secret that was not made here. */
  watch(kind: string, text: string): void {
    this.#issued.push({ kind, spellings: [Buffer.from(text), ...otherSpellings(text)] });
  }

  /** Notes each canary that `content` holds as found in `place`. */
  scan(place: string, content: string | Uint8Array): void {
    const bytes = Buffer.from(content);
    for (let at = bytes.indexOf(this.#beginning); at !== -1; at = bytes.indexOf(this.#beginning, at + 1)) {
      const begin = at + this.#beginning.length;
      const serial = bytes.toString("latin1", begin, begin + SERIAL_DIGITS);
      this.#note(this.#planted[/^[0-9a-f]+$/.test(serial) ? Number.parseInt(serial, 16) : -1] ?? FRAGMENT, place);
    }
    if (this.#otherBeginnings.some((each) => bytes.includes(each))) {
      for (const [serial, kind] of this.#planted.entries()) {
        if (otherSpellings(this.#spell(serial)).some((each) => bytes.includes(each))) this.#note(kind, place);
      }
    }
    for (const { kind, spellings } of this.#issued) {
      if (spellings.some((each) => bytes.includes(each))) this.#note(kind, place);
    }
  }

  #note(kind: string, place: string): void {
    this.#found.set(kind, (this.#found.get(kind) ?? new Set()).add(place));
  }

  /** Where canaries of `kind` were found, sorted. */
  foundIn(kind: string): string[] {
    return [...(this.#found.get(kind) ?? [])].sort();
  }

  /** Every kind there is, sorted. */
  kinds(): string[] {
    return [...new Set([...this.#planted, ...this.#issued.map(({ kind }) => kind)])].sort();
  }
}

/** Every file below `directory`, with its path from there. */
export async function filesOf(directory: string): Promise<{ readonly path: string; readonly bytes: Uint8Array }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(paths.map(async (path) => ({ path: relative(directory, path), bytes: await readFile(path) })));
}
