/** The home page: what the product is on one screen, and one request being routed. */
import { raw } from "hono/html";
import { PLACEHOLDER_HOST } from "../listing.ts";
import { codeBlock } from "../markdown.ts";

const CURL = `curl ${PLACEHOLDER_HOST}/v1/chat/completions \\
  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "flow/best-reasoning",
    "messages": [{ "role": "user", "content": "Compare these model routes." }],
    "route": { "fallback": true, "latency_budget_ms": 1800 }
  }'`;

interface Step {
  readonly kind: "failed" | "slow" | "ok";
  readonly target: string;
  readonly what: string;
  readonly start: number;
  readonly length: number;
}

/** A recorded request: the first target is rate limited, the second is slow, the hedge wins. */
const RECORDING: readonly Step[] = [
  { kind: "failed", target: "openai/gpt-5.5", what: "rate limited, 429 after 120 ms", start: 0, length: 1 },
  { kind: "slow", target: "anthropic/claude-opus-5", what: "still silent at 900 ms; cancelled", start: 1, length: 8 },
  { kind: "ok", target: "google/gemini-2.5-pro", what: "hedge won: first token after 410 ms", start: 6, length: 4 },
];

const HEADERS = [
  ["x-flowlayer-route", "flow/best-reasoning"],
  ["x-flowlayer-provider", "google"],
  ["x-flowlayer-attempts", "3"],
  ["x-flowlayer-fallback-reason", "rate_limited"],
  ["x-flowlayer-hedge", "won"],
  ["x-flowlayer-latency-budget-met", "true"],
  ["x-flowlayer-cost-usd", "0.001840"],
] as const;

const ENVELOPE = [
  [
    "Server-side keys",
    "One key per environment. It stays on your server, carries its own budget and limits, and can be rotated with an overlap.",
  ],
  [
    "Approved alternates",
    "A policy lists the targets. Fallback, hedging and client options only ever narrow that list; nothing widens it.",
  ],
  [
    "Budgets that travel",
    "A latency budget steers and hedges. A spend limit holds under any concurrency and adds no wait while there is room.",
  ],
  [
    "Approvals",
    "A tool call that needs a person is held in the stream, and its result is refused until somebody approved it.",
  ],
  [
    "Promotion on evidence",
    "A policy moves from staging to production when the traces of exactly that version pass your gates.",
  ],
  [
    "One trail",
    "Every request leaves a trace: attempts, reasons, tokens and cost to the nano-dollar, whichever provider answered.",
  ],
] as const;

export function Home() {
  return (
    <div class="home">
      <section class="hero">
        <p class="kicker">Enterprise control plane for language models</p>
        <h1>One base URL. Policy decides the rest.</h1>
        <p class="lead">
          The Flow Layer sits between your product and every model provider. You name a workload; a reviewed policy
          decides which provider answers, what happens when it is slow or down, what it may cost, and who must approve a
          tool call.
        </p>
        <p class="actions">
          <a class="button" href="/docs">
            Start routing
          </a>
          <a class="button quiet" href="/models">
            Model directory
          </a>
        </p>
      </section>

      <section class="routed" aria-labelledby="routed">
        <h2 id="routed">One request, routed</h2>
        <div class="instrument" data-run>
          <figure class="waterfall">
            <figcaption>
              <span data-run-source>A recording.</span> Budget 1,800 ms, three approved targets.
            </figcaption>
            <ol>
              {RECORDING.map(({ kind, target, what, start, length }) => (
                <li class={kind}>
                  <span class="target">{target}</span>
                  <span class={`bar from-${start} for-${length}`} aria-hidden="true" />
                  <span class="what">{what}</span>
                </li>
              ))}
            </ol>
            <button type="button" class="button quiet" data-run-button hidden>
              Run it against the sandbox
            </button>
          </figure>
          <dl class="headers" data-run-headers>
            {HEADERS.map(([name, value]) => (
              <div>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </div>
        <div data-code>{raw(codeBlock(CURL, "bash"))}</div>
      </section>

      <section aria-labelledby="envelope">
        <h2 id="envelope">The production envelope</h2>
        <ul class="cards">
          {ENVELOPE.map(([title, text]) => (
            <li>
              <h3>{title}</h3>
              <p>{text}</p>
            </li>
          ))}
        </ul>
      </section>

      <section aria-labelledby="next">
        <h2 id="next">For whom</h2>
        <p>
          Product teams that call models from edge functions, server actions, jobs and agents; platform teams that own
          keys, budgets and releases; operators who have to say at three in the morning what happened.
        </p>
        <p class="actions">
          <a class="button quiet" href="/docs">
            Developer channel
          </a>
          <a class="button quiet" href="/docs/production">
            Production checklist
          </a>
          <a class="button quiet" href="/models">
            Model directory
          </a>
        </p>
      </section>
    </div>
  );
}
