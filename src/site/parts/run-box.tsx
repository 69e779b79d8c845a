/** An answer with its headers, explained: a recording, and live where the deployment has a sandbox. */
import { HEADER_WORDS } from "./header-words.ts";

/** A recorded request: the first target is rate limited, the second is slow, the hedge wins. */
export const RECORDED_HEADERS = [
  ["x-flowlayer-route", "flow/best-reasoning"],
  ["x-flowlayer-provider", "google"],
  ["x-flowlayer-model", "gemini-2.5-pro"],
  ["x-flowlayer-attempts", "3"],
  ["x-flowlayer-fallback-reason", "rate_limited"],
  ["x-flowlayer-hedge", "won"],
  ["x-flowlayer-latency-budget-met", "true"],
  ["x-flowlayer-cost-usd", "0.001840"],
] as const;

/** Marks the place in a text where an answer can be run; as Markdown it is left out. */
export const RUN_MARK = "<!-- run -->";

export function RunBox() {
  return (
    <div class="run-box" data-run data-explained>
      <p class="run-head">
        <span data-run-source>A recording of such an answer.</span>
        <button type="button" class="button quiet" data-run-button hidden>
          Run it
        </button>
      </p>
      <p class="run-answer" data-run-answer hidden />
      <dl class="headers explained" data-run-headers>
        {RECORDED_HEADERS.map(([name, value]) => (
          <div>
            <dt>{name}</dt>
            <dd>{value}</dd>
            <dd class="words">{HEADER_WORDS[name]}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
