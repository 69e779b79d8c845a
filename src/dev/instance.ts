/** The running instance, as an operator sees it: what a start reads from the admin API and makes through it. */
import { SEED_ENVIRONMENTS } from "./seed.ts";
import { StartError } from "./start-error.ts";

const REQUEST_TIMEOUT_MS = 10_000;
const PAGE_SIZE = 1_000;

const ENDING_SOON_MS = 5 * 86_400_000;

interface HeldCall {
  readonly app: string;
  readonly asks: string;
  readonly tool: string;
  readonly values: Readonly<Record<string, string | number>>;
}

/** Tool calls of the demo that wait for a person. */
const HELD_CALLS: readonly HeldCall[] = [
  {
    app: "support",
    asks: "Customer 4711 asks to be forgotten.",
    tool: "delete_customer",
    values: { customer_id: "4711", reason: "asked to be forgotten" },
  },
  {
    app: "support",
    asks: "Order 20817 arrived broken.",
    tool: "refund_order",
    values: { order_id: "20817", amount_usd: 148.5 },
  },
];

export interface LiveRoute {
  readonly env: string;
  readonly name: string;
  readonly version: number;
  readonly policy: unknown;
}

export interface ProviderState {
  readonly id: string;
  readonly configured: boolean;
}

export class Instance {
  readonly baseUrl: string;
  readonly #adminToken: string;

  constructor(baseUrl: string, adminToken: string) {
    this.baseUrl = baseUrl;
    this.#adminToken = adminToken;
  }

  /** Every route that there is. */
  routes(): Promise<readonly LiveRoute[]> {
    return this.#list<LiveRoute>("/admin/routes", "Reading the routes");
  }

  providers(): Promise<readonly ProviderState[]> {
    return this.#list<ProviderState>("/admin/providers", "Reading the providers");
  }

  /** Publishes a policy where the active version is still `expected`; 0: where there is none. Gives the new version. */
  async publish(env: string, name: string, policy: object, expected: number): Promise<number> {
    const response = await this.#call("PUT", `/admin/routes/${env}/${name}`, policy, { "if-match": `"${expected}"` });
    if (!response.ok) throw await refused(`Creating route ${name} of ${env}`, response);
    return ((await response.json()) as { version: number }).version;
  }

  /** One key per environment: the kept one where it is still accepted, otherwise a new one. */
  async ensureKeys(kept: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const keys: Record<string, string> = {};
    for (const env of SEED_ENVIRONMENTS) {
      const old = kept[env];
      if (old !== undefined && (await this.#accepts(old))) {
        keys[env] = old;
        continue;
      }
      const response = await this.#call("POST", "/admin/keys", { name: `npm start ${env}`, env });
      if (!response.ok) throw await refused(`Creating a key of ${env}`, response);
      keys[env] = ((await response.json()) as { key: string }).key;
    }
    return keys;
  }

  /**
   * Requests to look at: made-up ones of the last hour, by keys of their own, and one tool call that waits for a person.
   * Keys that have requests already get none, so that a second start adds nothing.
   */
  async demo(secret: string): Promise<void> {
    const known = await this.#list<{ id: string; name: string; status: string }>("/admin/keys", "Reading the keys");
    for (const env of SEED_ENVIRONMENTS) {
      const name = `demo ${env}`;
      const old = known.find((key) => key.name === name && key.status === "active");
      const id = old?.id ?? (await this.#created(name, env));
      const response = await this.#call("POST", "/admin/demo", { key: id });
      if (!response.ok) throw await refused("Filling the trail", response);
      const { added } = (await response.json()) as { added: number };
      if (added > 0 && env === "production") {
        for (const call of HELD_CALLS) this.#holdCall(secret, call);
        await this.#limits();
      }
    }
  }

  /** A budget that is nearly spent, and a key that ends soon: what an operator has to look at. */
  async #limits(): Promise<void> {
    const budget = { scope: { env: "production" }, limit_usd: 3, period: "month", on_exceeded: "notify" };
    const limited = await this.#call("PUT", "/admin/budgets/production", budget);
    if (!limited.ok) throw await refused("Creating the budget production", limited);
    const expires_at = new Date(Date.now() + ENDING_SOON_MS).toISOString();
    const limit = { limit_usd: 5, period: "day" };
    const key = { name: "nightly evaluation", env: "staging", apps: ["eval-runner"], budget: limit, expires_at };
    const created = await this.#call("POST", "/admin/keys", key);
    if (!created.ok) throw await refused("Creating the key nightly evaluation", created);
  }

  async #created(name: string, env: string): Promise<string> {
    const response = await this.#call("POST", "/admin/keys", { name, env });
    if (!response.ok) throw await refused(`Creating the key ${name}`, response);
    return ((await response.json()) as { id: string }).id;
  }

  /** The answer is held until somebody decides, so it is not waited for. */
  #holdCall(secret: string, { app, asks, tool, values }: HeldCall): void {
    // The sandbox takes what a schema says is constant.
    const properties = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { const: value }]));
    const parameters = { type: "object", properties, required: Object.keys(values) };
    const request = {
      model: "flow/agent-reasoning",
      messages: [{ role: "user", content: asks }],
      tools: [{ type: "function", function: { name: tool, parameters } }],
      route: { require_tool_approval: true },
    };
    this.#send("POST", "/v1/chat/completions", secret, request, { "x-flowlayer-app": app }).then(
      (response) => response.body?.cancel(),
      () => {},
    );
  }

  async #accepts(key: string): Promise<boolean> {
    const response = await this.#send("GET", "/v1/models", key);
    await response.body?.cancel();
    return response.status === 200;
  }

  async #list<T>(path: string, what: string): Promise<readonly T[]> {
    const response = await this.#call("GET", `${path}?limit=${PAGE_SIZE}`);
    if (!response.ok) throw await refused(what, response);
    return ((await response.json()) as { data: readonly T[] }).data;
  }

  #call(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> {
    return this.#send(method, path, this.#adminToken, body, headers);
  }

  #send(
    method: string,
    path: string,
    token: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(this.baseUrl + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
}

/** What the control plane said, which names the fault and never a secret. */
async function refused(what: string, response: Response): Promise<StartError> {
  const body: unknown = await response.json().catch(() => null);
  const said = (body as { error?: { message?: unknown } } | null)?.error?.message;
  return new StartError(`${what} failed with ${response.status}${typeof said === "string" ? `: ${said}` : "."}`);
}
