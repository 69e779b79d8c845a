/** The home page: what the product is on one screen, and one request being routed. */
import { raw } from "hono/html";
import { PLACEHOLDER_HOST } from "../listing.ts";
import { codeBlock } from "../markdown.ts";
import { RECORDED_HEADERS } from "../parts/run-box.tsx";

const CURL = `curl ${PLACEHOLDER_HOST}/v1/chat/completions \\
  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "flow/best-reasoning",
    "messages": [{ "role": "user", "content": "Hello." }],
    "route": { "fallback": true, "latency_budget_ms": 1800 }
  }'`;

interface Step {
  readonly kind: "failed" | "slow" | "ok";
  readonly target: string;
  readonly what: string;
  readonly start: number;
  readonly length: number;
}

/** Starts and lengths in tenths of the whole. */
const RECORDING: readonly Step[] = [
  { kind: "failed", target: "openai/gpt-5.5", what: "rate limited 429, 120 ms", start: 0, length: 1 },
  { kind: "slow", target: "anthropic/claude-opus-5", what: "silent at 900 ms, cancelled", start: 1, length: 8 },
  { kind: "ok", target: "google/gemini-2.5-pro", what: "hedge won, first token 410 ms", start: 6, length: 4 },
];

const ENVELOPE = [
  ["Server-side keys", "One key per environment, with its own budget and limits; rotated with an overlap."],
  ["Approved alternates", "A policy lists the targets. Fallback, hedges and clients only ever narrow that list."],
  ["Budgets that travel", "Latency steers and hedges; a spend limit holds at any concurrency, without a wait."],
  ["Approvals", "A tool call that needs a person is held in the stream until somebody decides."],
  ["Promotion on evidence", "A version goes to production when its own traces pass your gates."],
  ["One trail", "Each request leaves a trace: attempts, reasons, tokens, cost to the nano-dollar."],
] as const;

const DOORS = [
  [
    "/docs",
    "Developer channel",
    "For product teams: a first request, then fetch, Python, SDKs, agents and frameworks.",
  ],
  ["/models", "Model directory", "For those who write policies: prices, windows and abilities of 1,500 models."],
  ["/console", "Console", "For operators: what happened, what it cost, and the release that mends it."],
] as const;

export function Home() {
  return (
    <div class="home">
      <section class="hero">
        <div class="pitch">
          <p class="kicker">Enterprise control plane for language models</p>
          <h1>One base URL. Policy decides the rest.</h1>
          <p class="lead">
            For teams on several model providers. You name a workload; a reviewed policy decides who answers, what
            happens when one is slow or down, what it may cost, and who approves a tool call.
          </p>
          <p class="actions">
            <a class="button" href="/docs">
              Start routing
            </a>
            <a class="button quiet" href="/console">
              Open the console
            </a>
          </p>
          <section aria-labelledby="begin">
            <h2 id="begin">Begin with one call</h2>
            <p class="hint">Any OpenAI or Anthropic client works. The console creates keys.</p>
            <div data-code>{raw(codeBlock(CURL, "bash"))}</div>
          </section>
        </div>
        <section class="routed" aria-labelledby="routed" data-run>
          <header class="row">
            <h2 id="routed">One request, routed</h2>
            <button type="button" class="button quiet" data-run-button hidden>
              Run it against the sandbox
            </button>
          </header>
          <figure class="waterfall">
            <figcaption>
              <span data-run-source>A recording.</span> Budget 1,800 ms.
            </figcaption>
            <ol data-run-attempts>
              {RECORDING.map(({ kind, target, what, start, length }) => (
                <li class={kind}>
                  <span class="target">{target}</span>
                  <span class={`bar from-${start} for-${length}`} aria-hidden="true" />
                  <span class="what">{what}</span>
                </li>
              ))}
            </ol>
          </figure>
          <dl class="headers pairs" data-run-headers>
            {RECORDED_HEADERS.map(([name, value]) => (
              <div>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
          <p class="run-answer" data-run-answer hidden />
        </section>
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

      <nav class="cards doors" aria-label="Where to go next">
        {DOORS.map(([address, title, text]) => (
          <a href={address}>
            <strong>{title}</strong>
            <span>{text}</span>
          </a>
        ))}
      </nav>
    </div>
  );
}
