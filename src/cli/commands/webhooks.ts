/** `webhooks`: who is notified of what. The secret is written once, to the standard output. */
import { type Json, listAll } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Column, record } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const WEBHOOK: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "URL", value: ({ url }) => url },
  { title: "EVENTS", value: ({ events }) => events },
  { title: "STATUS", value: ({ status, disabled }) => status ?? (disabled === true ? "disabled" : "active"), spare: 1 },
];

const DELIVERY: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "EVENT", value: ({ type, event }) => type ?? event },
  { title: "STATUS", value: ({ status }) => status },
  { title: "TRIES", value: ({ tries, attempts }) => tries ?? attempts, spare: 1 },
  { title: "TIME", value: ({ created_at, at }) => created_at ?? at, as: "time" },
];

const pathOf = (input: CommandInput, rest = ""): string => `/admin/webhooks/${encode(input.words[0] ?? "")}${rest}`;

export async function listWebhooks(input: CommandInput): Promise<number> {
  input.printRows(WEBHOOK, await listAll(input.client(), "/admin/webhooks"), "There are no webhooks.");
  return EXIT_OK;
}

export async function setWebhook(input: CommandInput): Promise<number> {
  const events = input.list("event");
  if (events.length === 0)
    throw new CommandError("Say which events: --event budget.threshold --event approval.pending");
  const body = JSON.stringify({ url: input.required("target"), events });
  return show(input, await input.client().call("PUT", pathOf(input), { body }));
}

export async function rotateWebhook(input: CommandInput): Promise<number> {
  return show(input, await input.client().call("POST", pathOf(input, "/rotate"), { body: "{}" }));
}

export async function testWebhook(input: CommandInput): Promise<number> {
  return show(input, await input.client().call("POST", pathOf(input, "/test"), { body: "{}" }));
}

function show(input: CommandInput, answer: Json): number {
  input.print(answer, () => record(Object.entries(answer)));
  if (typeof answer["secret"] === "string") input.terminal.writeError("The secret is shown this once.\n");
  return EXIT_OK;
}

export async function listDeliveries(input: CommandInput): Promise<number> {
  const deliveries = await listAll(input.client(), pathOf(input, "/deliveries"));
  input.printRows(DELIVERY, deliveries, "There were no deliveries in the last 7 days.");
  return EXIT_OK;
}

export async function deleteWebhook(input: CommandInput): Promise<number> {
  const client = input.client();
  const [id = ""] = input.words;
  await input.confirm(`Delete the webhook ${safe(id)} on ${client.origin}?`);
  await client.call("DELETE", pathOf(input));
  input.print({ deleted: id }, () => `Deleted: ${safe(id)}.\n`);
  return EXIT_OK;
}
