/** One message to one route or two, by any door, streamed, next to its trace. */
import { useState } from "hono/jsx/dom";
import { deltaOf, eventsOf } from "../../parts/stream.ts";
import { ApiError, call, type List, send } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Area, Choice, Field, submit } from "../parts/field.tsx";
import { duration } from "../parts/figures.ts";
import { Empty, Failure } from "../parts/notice.tsx";
import { Pairs } from "../parts/pairs.tsx";
import { Waterfall } from "../parts/waterfall.tsx";
import type { Route, Trace } from "../types.ts";

type Api = "chat" | "messages" | "responses";

const APIS: readonly (readonly [Api, string])[] = [
  ["chat", "Chat completions"],
  ["messages", "Messages"],
  ["responses", "Responses"],
];
const MAX_TOKENS = 1024;

interface Controls {
  readonly fallback: string;
  readonly budget: string;
  readonly spend: string;
}

function requestOf(api: Api, route: string, message: string, { fallback, budget, spend }: Controls) {
  const controls = {
    ...(fallback === "" ? {} : { fallback: fallback === "true" }),
    ...(budget === "" ? {} : { latency_budget_ms: Number(budget) }),
    ...(spend === "" ? {} : { spend_budget_usd: Number(spend) }),
  };
  const common = {
    model: `flow/${route}`,
    stream: true,
    ...(Object.keys(controls).length === 0 ? {} : { route: controls }),
  };
  const messages = [{ role: "user", content: message }];
  if (api === "responses") return { ...common, input: message };
  return api === "messages" ? { ...common, messages, max_tokens: MAX_TOKENS } : { ...common, messages };
}

interface Answer {
  readonly text: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly traceId: string | null;
  readonly firstMs: number | null;
  readonly totalMs: number | null;
}

const NOTHING: Answer = { text: "", headers: [], traceId: null, firstMs: null, totalMs: null };

export function PlaygroundPage({ place, env }: PageProps) {
  const at = env === "" ? "production" : env;
  const routes = useLoad(`playground ${at}`, () => call<List<Route>>("/admin/routes?limit=1000"));
  const names = (routes.data?.data ?? [])
    .filter(({ env: of, policy }) => of === at && policy["embedding"] === undefined)
    .map(({ name }) => name);
  const [first, setFirst] = useState(place.query.get("route") ?? "");
  const [second, setSecond] = useState("");
  const [api, setApi] = useState<Api>("chat");
  const [message, setMessage] = useState("");
  const [controls, setControls] = useState<Controls>({ fallback: "", budget: "", spend: "" });
  const [sent, setSent] = useState<{ readonly number: number; readonly runs: readonly string[] }>({
    number: 0,
    runs: [],
  });
  const chosen = first === "" ? (names[0] ?? "") : first;
  const options = names.map((name) => [name, `flow/${name}`] as const);
  const run = (): void => {
    if (chosen === "") return;
    setSent({ number: sent.number + 1, runs: [chosen, ...(second === "" ? [] : [second])] });
  };
  return (
    <section>
      <header class="row">
        <h1>Playground</h1>
      </header>
      <p class="hint">
        Runs in {at} as the key <code>console-{at}</code>, with its own budget. Its requests are traced like any other.
      </p>
      <form onSubmit={submit(run)}>
        <div class="fields">
          <Choice label="Route" value={chosen} options={options} onValue={setFirst} />
          <Choice label="Compare with" value={second} options={[["", "nothing"], ...options]} onValue={setSecond} />
          <Choice label="API" value={api} options={APIS} onValue={(value) => setApi(value as Api)} />
          <Choice
            label="Fallback"
            value={controls.fallback}
            options={[
              ["", "as the policy says"],
              ["true", "allowed"],
              ["false", "not allowed"],
            ]}
            onValue={(fallback) => setControls({ ...controls, fallback })}
          />
          <Field
            label="Latency budget (ms)"
            type="number"
            value={controls.budget}
            onValue={(budget) => setControls({ ...controls, budget })}
          />
          <Field
            label="Spend budget (USD)"
            type="number"
            step="any"
            value={controls.spend}
            onValue={(spend) => setControls({ ...controls, spend })}
          />
        </div>
        <Area label="Message" value={message} onValue={setMessage} rows={3} />
        <Failure error={routes.error} retry={routes.reload} />
        <button type="submit" class="primary" disabled={message === "" || chosen === ""}>
          Send
        </button>
      </form>
      {sent.runs.length > 0 ? null : names.length === 0 && routes.data !== null ? (
        <Empty>
          No chat route in {at}. <a href="/console/routes">Publish one</a>, or choose another environment above.
        </Empty>
      ) : (
        <Empty>The answer comes here as it streams, with its headers and its trace.</Empty>
      )}
      <div class="two">
        {sent.runs.map((route) => (
          <Run key={`${sent.number} ${route}`} env={at} api={api} route={route} message={message} controls={controls} />
        ))}
      </div>
    </section>
  );
}

function Run(props: { env: string; api: Api; route: string; message: string; controls: Controls }) {
  const { env, api, route, message, controls } = props;
  const [answer, setAnswer] = useState<Answer>(NOTHING);
  const [isStarted, setStarted] = useState(false);
  const [stop] = useState(new AbortController());
  const act = useAct();
  const start = async (): Promise<void> => {
    const startedAt = performance.now();
    await act.run(async () => {
      const body = { env, api, request: requestOf(api, route, message, controls) };
      const response = await send("/console/run", { body, headers: { accept: "*/*" }, signal: stop.signal });
      const headers = [...response.headers].filter(([name]) => name.startsWith("x-flowlayer-"));
      let known: Answer = { ...NOTHING, headers, traceId: response.headers.get("x-flowlayer-trace-id") };
      setAnswer(known);
      for await (const data of eventsOf(response)) {
        const { text, error } = deltaOf(data);
        if (text !== "") {
          known = { ...known, text: known.text + text, firstMs: known.firstMs ?? performance.now() - startedAt };
          setAnswer(known);
        }
        if (error !== null) throw new ApiError(0, { message: error, code: "stream_interrupted" });
      }
      setAnswer({ ...known, totalMs: performance.now() - startedAt });
    });
  };
  if (!isStarted) {
    setStarted(true);
    void start();
  }
  return (
    <section class="run" aria-label={`Answer of flow/${route}`}>
      <header class="row">
        <h2>flow/{route}</h2>
        {act.isBusy ? (
          <button type="button" class="quiet" onClick={() => stop.abort()}>
            Stop
          </button>
        ) : null}
      </header>
      <p class="hint">
        {act.isBusy && answer.firstMs === null ? "Waiting for the first token…" : ""}
        {answer.firstMs === null ? "" : `First token ${duration(answer.firstMs)}`}
        {answer.totalMs === null ? "" : `, total ${duration(answer.totalMs)}. `}
        {answer.traceId === null ? null : <a href={`/console/traces/${answer.traceId}`}>Its trace</a>}
      </p>
      <pre class="answer" aria-live="polite">
        {answer.text}
      </pre>
      <Failure error={act.error} />
      {answer.headers.length === 0 ? null : (
        <details open>
          <summary>Headers</summary>
          <Pairs
            kind="headers"
            of={answer.headers.map(([name, value]) => [name.replace("x-flowlayer-", ""), value] as const)}
          />
        </details>
      )}
      <RunTrace id={answer.totalMs === null ? null : answer.traceId} />
    </section>
  );
}

const TRACE_TRIES = 6;
const TRACE_EVERY_MS = 700;

/** A trace is there about two seconds after the end of a stream, so it is asked for a few times. */
async function settledTrace(id: string): Promise<Trace> {
  for (let left = TRACE_TRIES; ; left--) {
    try {
      return await call<Trace>(`/admin/traces/${encodeURIComponent(id)}`);
    } catch (error) {
      if (left === 0 || !(error instanceof ApiError) || error.status !== 404) throw error;
      await new Promise((resolve) => setTimeout(resolve, TRACE_EVERY_MS));
    }
  }
}

function RunTrace({ id }: { id: string | null }) {
  const trace = useLoad(`run ${id}`, () => (id === null ? Promise.resolve(null) : settledTrace(id)));
  if (trace.data === null) return <Failure error={trace.error} retry={trace.reload} />;
  return <Waterfall trace={trace.data} />;
}
