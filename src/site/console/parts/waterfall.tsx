/** Attempts over time: what ran in parallel, when the first token came, what waited for a person, and why it took so long. */
import type { Attempt, Trace } from "../types.ts";
import { duration } from "./figures.ts";

const WIDTH = 1000;
const ROW = 16;
const TICKS = 4;
/** Step widths of the axis, ms. */
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 250, 500];

function stepOf(end: number): number {
  for (let scale = 1; ; scale *= 1_000) {
    const step = STEPS.find((each) => each * scale * TICKS >= end);
    if (step !== undefined) return step * scale;
  }
}

const toneOf = ({ outcome, winner }: Attempt): string =>
  outcome === "ok" ? (winner ? "ok" : "slow") : outcome === "cancelled" ? "slow" : "failed";

function endOf({ attempts, latency }: Trace): number {
  return Math.max(1, latency.total_ms ?? 0, ...attempts.map((each) => each.started_ms + each.duration_ms));
}

/** Where the time went, by its largest parts first: each is a sentence of its own. */
export function whereTimeWent(trace: Trace): readonly string[] {
  const { attempts, latency } = trace;
  const winner = attempts.find((each) => each.winner) ?? null;
  const parts: { readonly ms: number; readonly text: string }[] = [];
  const add = (ms: number, text: string): void => {
    if (ms >= 1) parts.push({ ms, text: `${duration(ms)} ${text}` });
  };
  const wait = latency.approval_wait_ms ?? 0;
  add(wait, "waiting for a person to decide on a tool call");
  if (winner === null) {
    for (const each of attempts) {
      add(each.duration_ms, `on ${each.provider}/${each.model}, which ended as ${each.outcome.replaceAll("_", " ")}`);
    }
  } else {
    const name = `${winner.provider}/${winner.model}`;
    const lost = attempts.filter((each) => each !== winner).map((each) => `${each.provider}/${each.model}`);
    add(
      winner.started_ms,
      lost.length === 0 ? "before the first attempt" : `lost on ${lost.join(", ")} before ${name} began`,
    );
    const first = winner.first_token_ms;
    if (first === null) add(winner.duration_ms, `until ${name} had answered`);
    else {
      add(first, `until the first token of ${name}`);
      add(winner.duration_ms - first, "to stream the rest");
    }
  }
  return parts.toSorted((left, right) => right.ms - left.ms).map(({ text }) => text);
}

export function Waterfall({ trace }: { trace: Trace }) {
  const { attempts, latency } = trace;
  const wait = latency.approval_wait_ms ?? 0;
  const end = endOf(trace);
  const step = stepOf(end);
  const x = (ms: number): number => (WIDTH * Math.min(ms, end)) / end;
  const budget = latency.budget_ms ?? null;
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, at) => at * step);
  const track = (children: unknown) => (
    <svg viewBox={`0 0 ${WIDTH} ${ROW}`} preserveAspectRatio="none" aria-hidden="true">
      {ticks.map((at) => (
        <rect class="tick" x={x(at)} width={1} height={ROW} />
      ))}
      {children as never}
      {budget === null || budget > end ? null : <rect class="budget" x={x(budget) - 1} width={2} height={ROW} />}
    </svg>
  );
  return (
    <figure class="waterfall">
      <figcaption>
        <strong>Where the time went</strong>
        <span>
          {whereTimeWent(trace).slice(0, 3).join("; ") || "No provider was called."}
          {". "}
          {latency.budget_ms == null
            ? ""
            : `The budget of ${duration(latency.budget_ms)} was ${latency.budget_met === true ? "met" : "missed"}.`}
        </span>
      </figcaption>
      <div class="lanes">
        <div class="axis">
          <span class="name">Attempt</span>
          <span class="ends">
            <span>0</span>
            <span>{duration(end / 2)}</span>
            <span>{duration(end)}</span>
          </span>
        </div>
        {attempts.map((attempt) => (
          <div class="lane">
            <span class="name" title={`${attempt.provider}/${attempt.model}`}>
              {attempt.provider}/{attempt.model}
            </span>
            {track(
              <>
                <rect
                  class={`${toneOf(attempt)}${attempt.first_token_ms === null ? "" : " quiet"}`}
                  x={x(attempt.started_ms)}
                  y={3}
                  width={Math.max(3, x(attempt.started_ms + attempt.duration_ms) - x(attempt.started_ms))}
                  height={ROW - 6}
                />
                {attempt.first_token_ms === null ? null : (
                  <rect
                    class={toneOf(attempt)}
                    x={x(attempt.started_ms + attempt.first_token_ms)}
                    y={3}
                    width={Math.max(
                      3,
                      x(attempt.started_ms + attempt.duration_ms) - x(attempt.started_ms + attempt.first_token_ms),
                    )}
                    height={ROW - 6}
                  />
                )}
              </>,
            )}
            <span class="what">
              <span class={toneOf(attempt)}>{attempt.outcome.replaceAll("_", " ")}</span>{" "}
              {duration(attempt.duration_ms)}
              {attempt.hedged ? ", hedge" : ""}
            </span>
          </div>
        ))}
        {wait <= 0 ? null : (
          <div class="lane">
            <span class="name">a person</span>
            {track(<rect class="held" x={x(end - wait)} y={3} width={x(wait)} height={ROW - 6} />)}
            <span class="what">
              <span class="held">decided</span> {duration(wait)}
            </span>
          </div>
        )}
      </div>
      <p class="legend">
        <span class="key quiet">until the first token</span>
        <span class="key ok">streaming</span>
        {attempts.some((each) => toneOf(each) === "failed") ? <span class="key failed">failed</span> : null}
        {attempts.some((each) => toneOf(each) === "slow") ? <span class="key slow">cancelled</span> : null}
        {budget === null || budget > end ? null : <span class="key held">latency budget</span>}
      </p>
    </figure>
  );
}
