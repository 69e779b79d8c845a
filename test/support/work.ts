/**
 * Work that can be counted, for code that must stay linear: elements that are copied, shifted or searched, and lookups.
 * Clocks say little on a busy machine; these counts are the same on every one.
 */

const COUNTED = [
  "shift",
  "unshift",
  "splice",
  "concat",
  "slice",
  "indexOf",
  "includes",
  "find",
  "findLast",
  "findIndex",
] as const;

/** What `run` does with lists, sets and maps, in elements touched at worst. */
export function workOf(run: () => unknown): number {
  let work = 0;
  const undo: (() => void)[] = [];
  const replace = <T extends object>(target: T, name: PropertyKey, cost: (self: never) => number): void => {
    const original = Reflect.get(target, name) as (...args: unknown[]) => unknown;
    const counted = function (this: never, ...args: unknown[]): unknown {
      work += cost(this);
      return Reflect.apply(original, this, args);
    };
    Object.defineProperty(target, name, { value: counted, configurable: true, writable: true });
    undo.push(() => Object.defineProperty(target, name, { value: original, configurable: true, writable: true }));
  };
  for (const name of COUNTED) replace(Array.prototype, name, (self: unknown[]) => self.length);
  // A spread and a loop walk the list.
  replace(Array.prototype, Symbol.iterator, (self: unknown[]) => self.length);
  replace(Set.prototype, "has", () => 1);
  replace(Map.prototype, "get", () => 1);
  try {
    run();
  } finally {
    for (const each of undo.reverse()) each();
  }
  return work;
}

/** How much more work twice the input is: 2 for linear code, 4 for quadratic. */
export function growthOf(size: number, run: (size: number) => () => unknown): number {
  const [once, twice] = [run(size), run(2 * size)];
  return workOf(twice) / workOf(once);
}

/** How much longer than linear a run of eight times the size may take: quadratic work takes 64 times as long. */
const LINEAR_AT_MOST = 30;
const TIMES = 8;
const TRIES = 6;
/** What is quicker is run as often as takes this long, as a single pause would outweigh it. */
const MEASURED_MS = 2;
const MOST_RUNS = 200;
/** What takes less for all its runs is told apart from a pause by nothing. */
const LEAST_MS = 0.2;

/**
 * Says whether `run` takes time in proportion to its size, for work in native code that cannot be counted. It compares
 * the code with itself, the fastest of several runs, so neither a slow machine nor a busy one makes it fail.
 */
export function isLinear(size: number, run: (size: number) => unknown): boolean {
  const timed = (each: number, runs: number): number => {
    const startedAt = performance.now();
    for (let done = 0; done < runs; done++) run(each);
    return performance.now() - startedAt;
  };
  const fastest = (each: number, runs: number): number => Math.min(...[0, 1, 2].map(() => timed(each, runs)));
  run(size);
  const runs = Math.min(MOST_RUNS, Math.ceil(MEASURED_MS / Math.max(0.001, fastest(size, 1))));
  for (let tries = 0; tries < TRIES; tries++) {
    if (fastest(TIMES * size, runs) < LINEAR_AT_MOST * Math.max(LEAST_MS, fastest(size, runs))) return true;
  }
  return false;
}
