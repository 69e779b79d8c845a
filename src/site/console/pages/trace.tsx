/** One request: what was tried, why each target was left or skipped, what it cost. */
import { call, EMPTY_LIST, type List, withQuery } from "../api.ts";
import { addressOf, type PageProps } from "../frame.tsx";
import { useLoad } from "../load.ts";
import { answerHeaders } from "../parts/answer-headers.ts";
import { Badge } from "../parts/badge.tsx";
import { curlText } from "../parts/curl.ts";
import { Copy } from "../parts/field.tsx";
import { count, duration, relative, UNKNOWN, usd } from "../parts/figures.ts";
import { State } from "../parts/notice.tsx";
import { type Pair, Pairs } from "../parts/pairs.tsx";
import { Table } from "../parts/table.tsx";
import { Waterfall } from "../parts/waterfall.tsx";
import type { Attempt, Trace } from "../types.ts";
import { TRACE_COLUMNS } from "./traces.tsx";

const CHAT_PATH = "/v1/chat/completions";
const PATHS: Readonly<Record<string, string>> = {
  chat: CHAT_PATH,
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
  return curlText(PATHS[api] ?? CHAT_PATH, body);
}

function Facts({ trace }: { trace: Trace }) {
  const { latency } = trace;
  const facts: readonly Pair[] = [
    ["Time (UTC)", `${trace.created_at.slice(0, 19).replace("T", " ")} (${relative(trace.created_at)})`],
    ["API", `${trace.api ?? "chat"}, ${trace.stream ? "streamed" : "not streamed"}`],
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
    ["Fallback", trace.fallback ? (trace.fallback_reason ?? "yes") : "no"],
    [
      "Latency budget",
      latency.budget_ms == null
        ? "none"
        : `${duration(latency.budget_ms)}, ${latency.budget_met === true ? "met" : "missed"}`,
    ],
    ["Waited for approval", duration(latency.approval_wait_ms)],
    ["Output cap", count(trace.output_cap)],
    ["Affinity", trace.affinity ?? UNKNOWN],
    ["Tool calls", (trace.tool_calls ?? []).join(", ") || UNKNOWN],
    ["Client request id", trace.client_request_id ?? UNKNOWN],
    ["Agent", trace.agent_id ?? UNKNOWN],
    [
      "Tags",
      Object.entries(trace.tags ?? {})
        .map(([name, value]) => `${name}=${value}`)
        .join(", ") || UNKNOWN,
    ],
  ];
  return <Pairs kind="facts" of={facts} />;
}

function tilesOf(trace: Trace): readonly (readonly [name: string, value: unknown, detail: string])[] {
  const { latency, usage } = trace;
  const tokens = Number(usage["prompt_tokens"] ?? 0) + Number(usage["completion_tokens"] ?? 0);
  return [
    ["Status", <Badge word={trace.status} />, `${trace.http_status} ${trace.error_code ?? ""}`],
    ["Answered by", trace.model ?? "nobody", trace.provider ?? ""],
    ["First token", duration(latency.first_token_ms), trace.stream ? "streamed" : "not streamed"],
    ["Total", duration(latency.total_ms), `${trace.attempts.length} attempted`],
    ["Tokens", count(tokens), `${count(Number(usage["cached_tokens"] ?? 0))} from a cache`],
    ["Cost", usd(trace.cost_usd), trace.repriced_usd === undefined ? "" : `repriced ${usd(trace.repriced_usd)}`],
  ];
}

const why = ({ provider_code, provider_message, provider_request_id }: Attempt): string =>
  [provider_code, provider_message, provider_request_id].filter((each) => each != null && each !== "").join(" · ");

export function TracePage({ id, env }: PageProps & { id: string }) {
  const loaded = useLoad(id, () => call<Trace>(`/admin/traces/${encodeURIComponent(id)}`));
  const trace = loaded.data;
  const session = trace?.session_id ?? "";
  const near = useLoad(`near ${session}`, () =>
    session === ""
      ? Promise.resolve(EMPTY_LIST)
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
          <ul class="tiles">
            {tilesOf(trace).map(([name, value, detail]) => (
              <li>
                <span class="name">{name}</span>
                <span class="value">{value as string}</span>
                <small>{detail}</small>
              </li>
            ))}
          </ul>
          <Waterfall trace={trace} />
          <Table
            caption="Attempts"
            isVisibleCaption
            rows={trace.attempts}
            keyOf={(attempt) => String(trace.attempts.indexOf(attempt))}
            empty="No provider was called."
            columns={[
              { name: "Target", show: ({ provider, model }) => `${provider}/${model}`, isCode: true },
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
          <div class="two">
            <Table
              caption="Cost"
              isVisibleCaption
              rows={trace.cost_parts ?? []}
              keyOf={({ kind }) => kind}
              empty="What the cost is made of was not recorded."
              columns={[
                { name: "Kind", show: ({ kind }) => kind.replaceAll("_", " ") },
                { name: "Tokens", show: ({ tokens }) => count(tokens), numeric: true },
                { name: "USD", show: (part) => usd(part.usd), numeric: true },
              ]}
            />
            <Table
              caption="Usage"
              isVisibleCaption
              rows={Object.entries(trace.usage)}
              keyOf={([name]) => name}
              empty="No usage was recorded."
              columns={[
                { name: "Kind", show: ([name]) => name.replaceAll("_", " ") },
                {
                  name: "Tokens",
                  show: ([, value]) => (typeof value === "number" ? count(value) : value),
                  numeric: true,
                },
              ]}
            />
          </div>
          <details>
            <summary>Headers of the answer</summary>
            <Pairs kind="headers" of={answerHeaders(trace)} />
          </details>
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
                isDense
                columns={TRACE_COLUMNS.filter(({ name }) => name !== "Tags")}
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
