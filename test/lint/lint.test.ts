/** The two checks that `npm run check` runs over texts: words and commit messages. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { commitFaults, faultsOf } from "./commits.ts";
import { findingsIn } from "./english.ts";

const found = (file: string, text: string): string[] => findingsIn(file, text).map((finding) => finding.found);

test.each([
  ["a headless comment", "a.ts", "/** Of a stream that ended. */", ["Of"]],
  ["a comment behind code", "a.ts", "const a = 1; // nobody reads it", ["nobody"]],
  ["a message", "a.ts", 'throw new Error("No trace of this id.");', ["of this id"]],
  ["a name in code", "a.ts", "const vendorId = 1;", ["vendor"]],
  ["a document's line", "a.md", "It is told to stop.", ["is told "]],
  ["a line of TOML", "wrangler.toml", "# made anew", ["anew"]],
])("%s is found", (_, file, text, words) => {
  expect(found(file, text)).toEqual(words.map((word) => word.trim()));
});

test.each([
  ["quoted code", "a.ts", "// `anew` and `beside` are members"],
  ["code in a document", "a.md", "```sh\necho nobody\n```"],
  ["a word inside a word", "a.ts", "// besides, they are told apart"],
  ["a string without a space", "a.ts", 'const kind = "wish";'],
])("%s is left alone", (_, file, text) => {
  expect(found(file, text)).toEqual([]);
});

test("a finding names its line and what to write", () => {
  expect(findingsIn("a.md", "Fine.\n\nAsk anew.")).toEqual([
    { file: "a.md", line: 3, found: "anew", instead: "again" },
  ]);
});

test.each(["feat(doors): a new door", "fix: one thing", "refactor(relay/plan)!: order\n\nWhy it is so."])(
  "%j is a commit message",
  (message) => {
    expect(faultsOf(message)).toEqual([]);
  },
);

test.each([
  ["no type", "Add a door", 1],
  ["an unknown type", "misc: a door", 1],
  ["a subject that is too long", `feat: ${"a".repeat(70)}`, 1],
  ["a full stop", "feat: a door.", 1],
  ["no empty line", "feat: a door\nbecause", 1],
])("%s is no commit message", (_, message, count) => {
  expect(faultsOf(message)).toHaveLength(count);
});

describe("commits of a repository", () => {
  let folder: string;
  const git = (cwd: string, ...words: string[]): string =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...words], { cwd, encoding: "utf8" });
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "commits-"));
    git(folder, "init", "-q", "full");
    for (const subject of ["whatever came before", "feat: a door", "Bad one"]) {
      git(join(folder, "full"), "commit", "-q", "--allow-empty", "-m", subject);
    }
    git(folder, "clone", "-q", "--depth=1", `file://${folder}/full`, "shallow");
    writeFileSync(join(folder, "file"), "");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("only those newer than the named one count", () => {
    const since = git(join(folder, "full"), "rev-list", "--max-parents=0", "HEAD").trim();
    expect(commitFaults(join(folder, "full"), since)).toEqual([expect.stringMatching(/^[0-9a-f]+ begins with none/)]);
  });

  test("a shallow clone is checked as far as it goes", () => {
    expect(commitFaults(join(folder, "shallow"), "0".repeat(40))).toHaveLength(1);
  });

  test("another history, and a folder without one, have nothing to check", () => {
    expect(commitFaults(join(folder, "full"), "0".repeat(40))).toEqual([]);
    expect(commitFaults(folder)).toEqual([]);
  });
});
