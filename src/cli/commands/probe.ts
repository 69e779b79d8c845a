/** A route and a key of its own for a try on a running host, both removed afterwards. */
import { randomBytes } from "node:crypto";
import { type Client, clientWith, type Json, RefusedError } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { CommandError } from "../terminal.ts";

const KEY_MINUTES = 10;
/** KV shows a new key and route everywhere within 60 s. */
const VISIBLE_MS = 75_000;
const RETRY_MS = 1_500;
const NOT_YET: readonly unknown[] = ["invalid_api_key", "unknown_route", "route_not_allowed", "policy_unavailable"];

export interface Probe {
  readonly route: string;
  readonly keyId: string;
  /** With the probe's own key. */
  readonly client: Client;
  publish(policy: Json): Promise<void>;
  /** Sends until the host knows the key and the route. */
  settled<T>(send: () => Promise<T>): Promise<T>;
}

export interface ProbeSpec {
  readonly env: string;
  /** Routes that its key may call besides its own. */
  readonly others?: readonly string[];
  /** The command that asks, which its key is named after. */
  readonly command: "demo" | "doctor";
  /** What its requests said is erased at the end: a failure that was made on purpose must not look like a user's. */
  readonly isErased?: boolean;
}

/** Runs `use` with a route and a key for it, and takes both away again. */
export async function withProbe<T>(
  input: CommandInput,
  { env, others = [], command, isErased = false }: ProbeSpec,
  use: (probe: Probe) => Promise<T>,
): Promise<T> {
  const admin = input.client();
  const { base } = input.host();
  const route = `flow-probe-${randomBytes(4).toString("hex")}`;
  const path = `/admin/routes/${encode(env)}/${route}`;
  const expires = new Date(Date.now() + KEY_MINUTES * 60_000).toISOString();
  const request = {
    name: `flow-layer ${command}`,
    env,
    routes: [route, ...others],
    scopes: ["chat", "traces:read"],
    expires_at: expires,
  };
  const { id, key } = await admin.call("POST", "/admin/keys", { body: JSON.stringify(request) });
  if (typeof id !== "string" || typeof key !== "string") throw new CommandError("The host made no key.");
  let hasRoute = false;
  try {
    return await use({
      route,
      keyId: id,
      client: clientWith(input.terminal, base, key, "[API key]"),
      async publish(policy) {
        await admin.call("PUT", path, { body: JSON.stringify(policy) });
        hasRoute = true;
      },
      settled: (send) => untilVisible(send),
    });
  } finally {
    // The key expires anyway and the route is harmless without it, so a failed removal must not hide the result.
    if (isErased) await admin.call("DELETE", `/admin/keys/${encode(id)}/data`).catch(() => null);
    await admin.call("DELETE", `/admin/keys/${encode(id)}`).catch(() => null);
    if (hasRoute) await admin.call("DELETE", path).catch(() => null);
  }
}

async function untilVisible<T>(send: () => Promise<T>): Promise<T> {
  const until = Date.now() + VISIBLE_MS;
  for (;;) {
    try {
      return await send();
    } catch (error) {
      const code = error instanceof RefusedError ? error.details["code"] : undefined;
      if (!NOT_YET.includes(code) || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
