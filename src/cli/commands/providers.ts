/** `providers`: which can be called, how their targets fare, and taking one out of every plan. */
import { isJsonObject } from "../../lib/json.ts";
import { type Json, listAll, rowsOf } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Column, record, table } from "../table.ts";
import { EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const PROVIDER: readonly Column<Json>[] = [
  { title: "PROVIDER", value: ({ id }) => id, whole: true },
  {
    title: "CONFIGURED",
    value: ({ configured }) => (configured === true ? "yes" : "no"),
    colour: ({ configured }) => (configured === true ? "green" : "dim"),
  },
  { title: "DISABLED", value: disabledText, colour: () => "yellow" },
  { title: "MISSING", value: ({ missing }) => missing },
];

const TARGET: readonly Column<Json>[] = [
  { title: "TARGET", value: ({ provider, model }) => `${String(provider)}/${String(model)}`, whole: true },
  { title: "BREAKER", value: ({ state }) => state },
  { title: "DISABLED", value: disabledText, colour: () => "yellow", spare: 1 },
  { title: "REQUESTS", value: ({ requests }) => requests },
  { title: "ERRORS", value: ({ error_rate }) => percent(error_rate) },
  { title: "FIRST P95", value: ({ first_token_ms }) => p95(first_token_ms), as: "ms", spare: 3 },
  { title: "TOTAL P95", value: ({ total_ms }) => p95(total_ms), as: "ms", spare: 2 },
];

const percent = (rate: unknown): string | null => (typeof rate === "number" ? `${(rate * 100).toFixed(1)} %` : null);

const p95 = (quantiles: unknown): unknown => (isJsonObject(quantiles) ? quantiles["p95"] : null);

/** Why it is in no plan, and until when; `null`: it is in them. */
function disabledText({ disabled }: Json): string | null {
  if (!isJsonObject(disabled)) return null;
  const { reason, until } = disabled;
  return `${String(reason)}${typeof until === "string" ? ` (until ${until})` : ""}`;
}

/** Those that are configured, unless all were asked for. */
export async function listProviders(input: CommandInput): Promise<number> {
  const all = await listAll(input.client(), "/admin/providers");
  const shown = input.has("all") ? all : all.filter(({ configured }) => configured === true);
  const targets = shown.flatMap((provider) =>
    rowsOf({ data: provider["targets"] }).map((target): Json => ({ provider: provider["id"], ...target })),
  );
  if (input.isJson || targets.length === 0) {
    input.printRows(PROVIDER, shown, "No provider is configured: `flow-layer providers --all` names the secrets.");
    return EXIT_OK;
  }
  const rest = all.length - shown.length;
  const more = rest === 0 ? "" : `\n${rest} more are not configured: --all\n`;
  input.terminal.write(`${table(PROVIDER, shown, "", input.look)}\n${table(TARGET, targets, "", input.look)}${more}`);
  return EXIT_OK;
}

export const disableProvider = (input: CommandInput): Promise<number> =>
  setDisabled(input, { disabled: true, reason: input.required("reason"), until: input.time("until", true) });

export const enableProvider = (input: CommandInput): Promise<number> =>
  setDisabled(input, { disabled: false, reason: input.text("reason") });

async function setDisabled(input: CommandInput, change: Json): Promise<number> {
  const [target = ""] = input.words;
  const [id = "", ...model] = target.split("/");
  const client = input.client();
  const name = safe(target);
  if (change["disabled"] === true) await input.confirm(`Take ${name} out of every route on ${client.origin}?`);
  const path = `/admin/providers/${encode(id)}${model.length === 0 ? "" : `/${encode(model.join("/"))}`}`;
  const changed = await client.call("PATCH", path, { body: JSON.stringify(change) });
  input.print(changed, () => {
    const { disabled } = changed;
    const state = disabled === null ? "enabled" : "disabled";
    return record(Object.entries({ target, state, ...(isJsonObject(disabled) ? disabled : {}) }));
  });
  input.terminal.writeError(`In force on ${client.origin} within 60 s.\n`);
  return EXIT_OK;
}
