/** One request: what was tried, why each target was left or skipped, what it cost. */
import { call, type List, withQuery } from "../api.ts";
import { addressOf, type PageProps } from "../frame.tsx";
import { useLoad } from "../load.ts";
import { Badge } from "../parts/badge.tsx";
import { Copy } from "../parts/field.tsx";
import { count, duration, relative, UNKNOWN, usd } from "../parts/figures.ts";
import { State } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import type { Attempt, Trace } from "../types.ts";
import { TRACE_COLUMNS } from "./traces.tsx";

const PATHS: Readonly<Record<string, string>> = {
  chat: "/v1/chat/completions",
  messages: "/v1/messages",
  responses: "/v1/responses",
  embeddings: "/v1/embeddings",
};

/** Prompts are not kept, so a placeholder stands for them. */
function curlOf({ route, api = "chat", stream }: Trace): string {
  const content: Readonly<Record<string, unknown>> =
    api === "responses" || api === "embeddings"
      ? { input: "YOUR TEXT" }
      : { messages: [{ role: "user", content: "YOUR MESSAGE" }], ...(api === "messages" ? { max_tokens: 1024 } : {}) };
  const body = JSON.stringify({ model: route ?? "flow/best-reasoning", ...content, ...(stream ? { stream } : {}) });
  const lines = [
    `curl ${location.origin}${PATHS[api] ?? PATHS["chat"]} \\`,
    `  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ];
  return lines.join("\n");
}

const WIDTH = 1000;
const ROW = 26;

/** Attempts over time: what ran in parallel, when the first token came, and what waited for a person. */
function Waterfall({ trace }: { trace: Trace }) {
  const { attempts, latency } = trace;
  const wait = latency.approval_wait_ms ?? 0;
  const end = Math.max(1, latency.total_ms ?? 0, ...attempts.map((each) => each.started_ms + each.duration_ms));
  const x = (ms: number): number => (WIDTH * Math.min(ms, end)) / end;
  const height = ROW * (attempts.length + (wait > 0 ? 1 : 0)) + 4;
  const budget = latency.budget_ms ?? null;
  return (
    <svg
      class="waterfall"
      viewBox={`0 0 ${WIDTH} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label="Attempts over time; the table below has the figures."
    >
      {attempts.map(({ started_ms, duration_ms, first_token_ms, outcome, winner }, at) => (
        <g>
          <rect
            class={outcome === "ok" ? (winner ? "ok" : "slow") : "failed"}
            x={x(started_ms)}
            y={at * ROW + 4}
            width={Math.max(2, x(duration_ms))}
            height={ROW - 8}
          />
          {first_token_ms === null ? null : (
            <rect class="first" x={x(started_ms + first_token_ms)} y={at * ROW + 2} width={3} height={ROW - 4} />
          )}
        </g>
      ))}
      {wait > 0 ? (
        <rect class="held" x={x(end - wait)} y={attempts.length * ROW + 4} width={x(wait)} height={ROW - 8} />
      ) : null}
      {budget === null || budget > end ? null : <rect class="budget" x={x(budget)} y={0} width={2} height={height} />}
    </svg>
  );
}

function Facts({ trace }: { trace: Trace }) {
  const { latency } = trace;
  const facts: readonly (readonly [string, unknown])[] = [
    ["Time", `${trace.created_at} (${relative(trace.created_at)})`],
    ["API", trace.api ?? "chat"],
    ["Environment, app", `${trace.env}, ${trace.app}`],
    ["Key", <a href={`/console/keys/${trace.key_id}`}>{trace.key_id}</a>],
    [
      "Route",
      trace.route === null ? (
        UNKNOWN
      ) : (
        <a href={`/console/routes/${trace.env}/${trace.route.replace(/^flow\//, "")}`}>
          {trace.route} version {trace.route_version ?? UNKNOWN}
        </a>
      ),
    ],
    ["Answered by", trace.provider === null ? "nobody" : `${trace.provider}/${trace.model}`],
    ["Fallback", trace.fallback ? (trace.fallback_reason ?? "yes") : "no"],
    ["First token, total", `${duration(latency.first_token_ms)}, ${duration(latency.total_ms)}`],
    [
      "Latency budget",
      latency.budget_ms == null
        ? "none"
        : `${duration(latency.budget_ms)}, ${latency.budget_met === true ? "met" : "missed"}`,
    ],
    ["Waited for approval", duration(latency.approval_wait_ms)],
    [
      "Cost",
      `${usd(trace.cost_usd)}${trace.repriced_usd === undefined ? "" : `, repriced ${usd(trace.repriced_usd)}`}`,
    ],
    ["Output cap", count(trace.output_cap)],
    ["Affinity", trace.affinity ?? UNKNOWN],
    ["Tool calls", (trace.tool_calls ?? []).join(", ") || UNKNOWN],
    ["Client request id", trace.client_request_id ?? UNKNOWN],
    ["Agent", trace.agent_id ?? UNKNOWN],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>{value as string}</dd>
        </div>
      ))}
    </dl>
  );
}

const why = ({ provider_code, provider_message, provider_request_id }: Attempt): string =>
  [provider_code, provider_message, provider_request_id].filter((each) => each != null && each !== "").join(" · ");

export function TracePage({ id, env }: PageProps & { id: string }) {
  const loaded = useLoad(id, () => call<Trace>(`/admin/traces/${encodeURIComponent(id)}`));
  const trace = loaded.data;
  const session = trace?.session_id ?? "";
  const near = useLoad(`near ${session}`, () =>
    session === ""
      ? Promise.resolve({ data: [], has_more: false, next_cursor: null } satisfies List<Trace>)
      : call<List<Trace>>(withQuery("/admin/traces", { session, limit: 20 })),
  );
  return (
    <section>
      <p class="crumbs">
        <a href={addressOf("traces", env)}>Traces</a>
      </p>
      <header class="row">
        <h1>
          Trace <code>{id}</code>
        </h1>
        <Copy text={id} />
      </header>
      <State of={loaded} />
      {trace === null ? null : (
        <>
          <p>
            <Badge word={trace.status} /> {trace.http_status} {trace.error_code ?? ""}
          </p>
          <Waterfall trace={trace} />
          <Table
            caption="Attempts"
            isVisibleCaption
            rows={trace.attempts}
            keyOf={(attempt) => String(trace.attempts.indexOf(attempt))}
            empty="No provider was called."
            columns={[
              { name: "Target", show: ({ provider, model }) => `${provider}/${model}` },
              { name: "Credential", show: ({ credential }) => credential ?? UNKNOWN, numeric: true },
              { name: "Outcome", show: ({ outcome }) => <Badge word={outcome} /> },
              { name: "Status", show: ({ status }) => status ?? UNKNOWN, numeric: true },
              { name: "Started", show: ({ started_ms }) => `+${duration(started_ms)}`, numeric: true },
              { name: "First token", show: ({ first_token_ms }) => duration(first_token_ms), numeric: true },
              { name: "Took", show: ({ duration_ms }) => duration(duration_ms), numeric: true },
              { name: "Role", show: ({ winner, hedged }) => (winner ? "answered" : hedged ? "hedge" : "") },
              { name: "Cost", show: ({ cost_usd }) => usd(cost_usd), numeric: true },
              { name: "The provider's words", show: why },
            ]}
          />
          {(trace.skipped ?? []).length === 0 ? null : (
            <Table
              caption="Targets that were not tried"
              isVisibleCaption
              rows={trace.skipped ?? []}
              keyOf={({ provider, model, reason }) => `${provider}/${model}/${reason}`}
              empty=""
              columns={[
                { name: "Target", show: ({ provider, model }) => `${provider}/${model}` },
                { name: "Reason", show: ({ reason }) => reason },
                { name: "Detail", show: ({ detail }) => detail ?? "" },
              ]}
            />
          )}
          <Facts trace={trace} />
          <Table
            caption="Usage and cost"
            isVisibleCaption
            rows={trace.cost_parts ?? []}
            keyOf={({ kind }) => kind}
            empty="No cost was recorded in parts."
            columns={[
              { name: "Kind", show: ({ kind }) => kind },
              { name: "Tokens", show: ({ tokens }) => count(tokens), numeric: true },
              { name: "USD", show: (part) => usd(part.usd), numeric: true },
            ]}
          />
          {Object.keys(trace.tags ?? {}).length === 0 ? null : (
            <p>
              Tags:{" "}
              {Object.entries(trace.tags ?? {}).map(([name, value]) => (
                <span class="badge">
                  {name}={value}
                </span>
              ))}
            </p>
          )}
          <h2>Repeat it</h2>
          <p class="hint">Messages are not kept, so a placeholder stands for them.</p>
          <pre class="snippet">{curlOf(trace)}</pre>
          <Copy text={curlOf(trace)} />
          {session === "" ? null : (
            <>
              <h2>The same conversation</h2>
              <State of={near} />
              <Table
                caption="The same conversation"
                columns={TRACE_COLUMNS}
                rows={near.data?.data ?? []}
                keyOf={(each) => each.id}
                empty="Nothing else."
              />
            </>
          )}
        </>
      )}
    </section>
  );
}
