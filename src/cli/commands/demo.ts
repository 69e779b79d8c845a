/** `demo`: targets of the sandbox that fail in four ways, and what a client sees of it. */
import { listAll } from "../client.ts";
import type { CommandInput } from "../input.ts";
import { answeredBy, streamChat } from "../requests.ts";
import { table } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { withProbe } from "./probe.ts";

interface Scene {
  readonly title: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly latency?: Readonly<Record<string, unknown>>;
}

const SCENES: readonly Scene[] = [
  { title: "refuses with 429", params: { fail: "429" } },
  { title: "fails with 500", params: { fail: "500" } },
  { title: "resets the connection", params: { fail: "reset" } },
  { title: "takes three seconds", params: { latency_ms: 3_000 }, latency: { budget_ms: 1_000, hedge_max_ratio: 1 } },
];

/** Sets failures that are made on purpose apart from those of users. */
const AS_DEMO = { "x-flowlayer-app": "flow-layer-demo" };

export async function demo(input: CommandInput): Promise<number> {
  const providers = await listAll(input.client(), "/admin/providers");
  if (!providers.some(({ id, configured }) => id === "sandbox" && configured === true)) {
    throw new CommandError("The demo needs the sandbox, which `npm start` has. This host has none.");
  }
  const env = input.text("env") ?? "production";
  const rows = await withProbe(input, { env, command: "demo" }, async (probe) => {
    const found: {
      readonly first: string;
      readonly attempts: string;
      readonly answer: string;
      readonly trace: string;
    }[] = [];
    for (const [at, { title, params, latency }] of SCENES.entries()) {
      // Each scene has targets of its own: a breaker remembers what a target did.
      const [first, second] = [`first-${at + 1}`, `steady-${at + 1}`];
      await probe.publish({
        targets: [
          { provider: "sandbox", model: first, params },
          { provider: "sandbox", model: second },
        ],
        retry: { same_target: 0 },
        ...(latency === undefined ? {} : { latency }),
      });
      const request = { model: `flow/${probe.route}`, messages: [{ role: "user", content: "Hello." }] };
      const answered = await probe.settled(() => streamChat(probe.client, request, () => {}, AS_DEMO));
      found.push({
        first: title,
        attempts: (answered.headers.get("x-flowlayer-attempt-log") ?? "").replaceAll("sandbox/", ""),
        answer: answeredBy(answered.headers).replaceAll("sandbox/", ""),
        trace: answered.headers.get("x-request-id") ?? "",
      });
    }
    return found;
  });
  input.print({ scenes: rows }, () => {
    const columns = [
      { title: "THE FIRST TARGET", value: ({ first }: (typeof rows)[number]) => first, whole: true },
      { title: "THE CLIENT GOT", value: ({ answer }: (typeof rows)[number]) => answer },
    ];
    const attempts = rows.map(({ first, attempts: log, trace }) => `${first}: ${log}  ${trace}\n`).join("");
    return `${table(columns, rows, "", input.look)}\nAttempts (target;outcome;status;time)\n${attempts}`;
  });
  return EXIT_OK;
}
