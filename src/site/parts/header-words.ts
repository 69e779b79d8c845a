/** What each header of an answer tells, in one sentence: for pages that show an answer, recorded or live. */
export const HEADER_WORDS: Readonly<Record<string, string>> = {
  "x-flowlayer-route": "The workload that you named.",
  "x-flowlayer-route-version": "The version of its policy that decided.",
  "x-flowlayer-app": "The product surface that the request counts for.",
  "x-flowlayer-env": "The environment of the key.",
  "x-flowlayer-provider": "Who answered.",
  "x-flowlayer-model": "The model that answered.",
  "x-flowlayer-attempts": "How many calls were started.",
  "x-flowlayer-attempt-log": "Each call with its outcome, status and duration.",
  "x-flowlayer-fallback": "Whether the first target was left.",
  "x-flowlayer-fallback-reason": "Why it was left.",
  "x-flowlayer-hedge": "Whether a second call, started while the first was silent, won.",
  "x-flowlayer-latency-ms": "From the arrival of the request to the first byte of the answer.",
  "x-flowlayer-latency-budget-ms": "How long the answer might take to begin.",
  "x-flowlayer-latency-budget-met": "Whether it began in time.",
  "x-flowlayer-tool-approval": "Whether its tool calls may be carried out.",
  "x-flowlayer-output-cap": "The most tokens that the answer may have, where the router set it.",
  "x-flowlayer-cost-usd": "What it cost, all calls together.",
  "x-flowlayer-budget-remaining-usd": "What the key may still spend.",
  "server-timing": "Where the router's own milliseconds went.",
  "x-flowlayer-trace-id": "Search for it in the console, or read it at /v1/traces/{id}.",
};

/** Those that a page shows, in the order of a story: who answered, what was tried, how long, for how much. */
export const SHOWN_HEADERS = Object.keys(HEADER_WORDS);
