/**
 * English as this project writes it: words and patterns that readers stumble over, each with what to write instead.
 *
 * Comments, messages and documents are read line by line. It is a table of words and no grammar: it keeps out what was
 * there before, and leaves good sentences to the reviewer.
 */
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative } from "node:path";

interface Rule {
  readonly pattern: RegExp;
  readonly instead: string;
  /** Where the rule holds. `code`: every line of a source file, names included. */
  readonly in: readonly Place[];
}

type Place = "comment" | "message" | "document" | "code";

export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly found: string;
  readonly instead: string;
}

const PROSE: readonly Place[] = ["comment", "message", "document"];
const TEXT: readonly Place[] = ["comment", "document"];

const RULES: readonly Rule[] = [
  { pattern: /^Of /, instead: "begin with the subject", in: TEXT },
  { pattern: /vendor/i, instead: "provider", in: ["code", "document"] },
  { pattern: /\b(nobody|whoever|whosoever)\b/i, instead: "name who acts, or use the passive", in: PROSE },
  { pattern: /\banew\b/i, instead: "again", in: PROSE },
  { pattern: /\b(dearest|dearer)\b/i, instead: "most expensive, more expensive", in: PROSE },
  { pattern: /\bof this id\b/i, instead: "with this id", in: PROSE },
  { pattern: /(^|[:;,.] )were (it|there|this|that|he|they|we)\b/i, instead: "if it were", in: PROSE },
  { pattern: /\bfor good\b/i, instead: "permanently", in: PROSE },
  { pattern: /\bbeside\b/i, instead: "next to, in parallel with, in addition to", in: PROSE },
  { pattern: /\b(is|are|was|were|be|been) told (?!apart)/i, instead: "is notified, gets", in: PROSE },
  { pattern: /\bthere is nothing at\b/i, instead: "not found", in: PROSE },
  { pattern: /\bis not possible at\b/i, instead: "is not allowed on", in: PROSE },
  { pattern: /\bas (it|they) stands?\b/i, instead: "as it is, unchanged", in: TEXT },
  { pattern: /\bstands (in|behind|before|under|there|alone)\b(?! for\b)/i, instead: "is, follows, precedes", in: TEXT },
  { pattern: /\bgoes along\b/i, instead: "is sent with", in: PROSE },
  { pattern: /\btwins?\b/i, instead: "duplicate key", in: PROSE },
  { pattern: /\bwish(es)?\b/i, instead: "option", in: TEXT },
];

/** Folders and files that are read, and which rules hold for them. Data and built files are not prose. */
const SOURCES = ["src", "wrangler.toml", ".ci", ".github"];
const DOCUMENTS = ["README.md", "src/README.md", "test/README.md", "test/CATALOGUE.md", "src/site/content"];
const READ_AS: Readonly<Record<string, "source" | "document">> = {
  ...{ ".ts": "source", ".tsx": "source", ".toml": "source", ".yml": "source", "": "source" },
  ".md": "document",
};

/** The text of a comment that is all of `line`, or that ends it. */
function commentOf(line: string): string | undefined {
  const whole = /^\s*(?:\/\*\*|\*|\/\/|#)\s?(.*)$/.exec(line);
  return whole?.[1] ?? /\s\/\/ (.*)$/.exec(line)?.[1];
}

const QUOTED = /"[^"]*"|`[^`]*`|'[^']*'/g;

/** Quoted code in prose is no prose: names of members and fields are what they are. */
const withoutCode = (text: string): string => text.replace(/`[^`]*`/g, "``");

function placesOf(line: string): readonly (readonly [Place, string])[] {
  const comment = commentOf(line);
  const places: (readonly [Place, string])[] = [["code", line]];
  if (comment !== undefined) places.push(["comment", withoutCode(comment)]);
  else for (const [quoted] of line.matchAll(QUOTED)) if (quoted.includes(" ")) places.push(["message", quoted]);
  return places;
}

/** What the table finds in one text. */
export function findingsIn(file: string, text: string): readonly Finding[] {
  const isDocument = extname(file) === ".md";
  let isFenced = false;
  return text.split("\n").flatMap((line, index) => {
    if (isDocument && line.trimStart().startsWith("```")) isFenced = !isFenced;
    const places = isDocument ? ([["document", isFenced ? "" : withoutCode(line)]] as const) : placesOf(line);
    return RULES.flatMap((rule) =>
      places.flatMap(([place, said]) => {
        const found = rule.in.includes(place) ? rule.pattern.exec(said)?.[0] : undefined;
        return found === undefined ? [] : [{ file, line: index + 1, found: found.trim(), instead: rule.instead }];
      }),
    );
  });
}

function filesUnder(root: string, path: string): readonly string[] {
  const entries = (() => {
    try {
      return readdirSync(join(root, path), { withFileTypes: true });
    } catch {
      return null;
    }
  })();
  if (entries === null) return [path];
  return entries.flatMap((entry) => filesUnder(root, join(path, entry.name)));
}

/** All findings of the repository at `root`. */
export function englishFindings(root: string): readonly Finding[] {
  const files = [...SOURCES, ...DOCUMENTS].flatMap((path) => filesUnder(root, path));
  return [...new Set(files)]
    .filter((file) => READ_AS[extname(file)] !== undefined)
    .flatMap((file) => findingsIn(relative(root, join(root, file)), readFileSync(join(root, file), "utf8")));
}
