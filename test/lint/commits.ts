/**
 * The form of commit messages: `type(scope): what`, at most 72 characters, then an empty line.
 *
 * Only commits newer than a named one are read, so older ones may be as they are. Needs no remote: a checkout without
 * history (one shallow commit, or no git at all) is checked as far as it goes.
 */
import { execFileSync } from "node:child_process";

/** The last commit before the rule. */
const SINCE = "f709a4e1c2523091d5d9745f0f067d6000843580";
const MAX_SUBJECT = 72;
const TYPES = ["build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test"];
const SUBJECT = new RegExp(`^(?:${TYPES.join("|")})(?:\\([a-z0-9][a-z0-9 ,/.-]*\\))?!?: \\S`);

/** What is wrong with a commit's message; empty where nothing is. */
export function faultsOf(message: string): readonly string[] {
  const [subject = "", second = ""] = message.split("\n");
  return [
    ...(SUBJECT.test(subject) ? [] : [`begins with none of ${TYPES.join(", ")}: "type(scope): what"`]),
    ...(subject.length > MAX_SUBJECT ? [`has a subject of ${subject.length} characters, ${MAX_SUBJECT} at most`] : []),
    ...(subject.endsWith(".") ? ["ends its subject with a full stop"] : []),
    ...(second === "" ? [] : ["has no empty line after its subject"]),
  ];
}

function git(root: string, ...words: string[]): string | null {
  try {
    return execFileSync("git", words, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return null;
  }
}

/** Faults of the commits in `root` that are newer than `since`, one line each. */
export function commitFaults(root: string, since = SINCE): readonly string[] {
  // In a shallow clone the named commit is missing: then only the commits that are there count, and in an unpacked
  // archive none.
  const isKnown = git(root, "merge-base", "--is-ancestor", since, "HEAD") !== null;
  const isShallow = git(root, "rev-parse", "--is-shallow-repository")?.trim() === "true";
  if (!isKnown && !isShallow) return [];
  // A merge is written by the host, not by its author.
  const range = isKnown ? [`${since}..HEAD`] : ["HEAD"];
  const log = git(root, "log", "--no-merges", "--format=%h%n%B%x00", ...range) ?? "";
  return log.split("\0").flatMap((entry) => {
    const [id = "", ...message] = entry.trim().split("\n");
    return id === "" ? [] : faultsOf(message.join("\n")).map((fault) => `${id} ${fault}`);
  });
}
