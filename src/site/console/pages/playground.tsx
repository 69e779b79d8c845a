/** One message to one route or two, by any door, streamed, next to its trace. */
import { useState } from "hono/jsx/dom";
import { ApiError, call, type List, send } from "../api.ts";
import type { PageProps } from "../frame.tsx";
import { useAct, useLoad } from "../load.ts";
import { Area, Choice, Field, submit } from "../parts/field.tsx";
import { duration } from "../parts/figures.ts";
import { Failure } from "../parts/notice.tsx";
import type { Route } from "../types.ts";
import { deltaOf, eventsOf } from "./playground-stream.ts";

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
  const names = (routes.data?.data ?? []).filter((route) => route.env === at).map(({ name }) => name);
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
      <h1>Playground</h1>
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
        <Area label="Message" value={message} onValue={setMessage} rows={4} />
        <button type="submit" class="primary" disabled={message === "" || chosen === ""}>
          Send
        </button>
      </form>
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
  const act = useAct();
  const start = async (): Promise<void> => {
    const startedAt = performance.now();
    await act.run(async () => {
      const body = { env, api, request: requestOf(api, route, message, controls) };
      const response = await send("/console/run", { body, headers: { accept: "*/*" } });
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
      <h2>flow/{route}</h2>
      <p class="hint">
        First token {duration(answer.firstMs)}, total {duration(answer.totalMs)}
        {answer.traceId === null ? "" : ". "}
        {answer.traceId === null ? null : <a href={`/console/traces/${answer.traceId}`}>Its trace</a>}
      </p>
      <pre class="answer" aria-live="polite">
        {answer.text}
      </pre>
      {act.error === null ? null : <Failure error={act.error} />}
      <details open={answer.headers.length > 0}>
        <summary>Headers</summary>
        <dl class="facts">
          {answer.headers.map(([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}
