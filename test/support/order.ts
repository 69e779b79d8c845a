/** The order of test files. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Files that take ten seconds or more, most of it waiting. They come first, as one that began last would run on alone:
 * Vitest knows how long a file took, but not in a fresh checkout, and there their size says little.
 * Those that compute stand between those that wait.
 */
const LONGEST = [
  "worker/provider-faults",
  "worker/fixtures",
  "worker/outage",
  "dev/start",
  "worker/otlp",
  "worker/resume",
  "worker/stream-cut",
  "worker/bad-inputs",
  "worker/fallback",
  "worker/ledger-crash",
  "worker/latency-budget",
  "worker/pops",
  "worker/money",
].map((name) => `/test/${name}.test.ts`);

const rankOf = ({ moduleId }: TestSpecification): number => {
  const rank = LONGEST.findIndex((name) => moduleId.endsWith(name));
  return rank === -1 ? LONGEST.length : rank;
};

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((left, right) => rankOf(left) - rankOf(right));
  }
}
