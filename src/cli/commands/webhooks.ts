/** `webhooks`: who is notified of what. The secret is written once, to the standard output. */
import { type Json, listAll, listPage } from "../client.ts";
import { type CommandInput, encode } from "../input.ts";
import { type Colour, type Column, record } from "../table.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const WEBHOOK: readonly Column<Json>[] = [
  { title: "ID", value: ({ id }) => id, whole: true },
  { title: "URL", value: ({ url }) => url },
  { title: "EVENTS", value: ({ events }) => events },
  {
    title: "STATUS",
    value: ({ disabled_at }) => (disabled_at === null ? "active" : "disabled"),
    colour: ({ disabled_at }) => (disabled_at === null ? "green" : "red"),
    spare: 1,
  },
];

const DELIVERY: readonly Column<Json>[] = [
  { title: "ID", value: ({ message_id }) => message_id, whole: true },
  { title: "EVENT", value: ({ type }) => type },
  { title: "STATUS", value: ({ status }) => status, colour: ({ status }) => colourOf(status) },
  { title: "HTTP", value: ({ last_status }) => last_status },
  { title: "TRIES", value: ({ tries }) => tries, spare: 1 },
  { title: "TIME", value: ({ created_at }) => created_at, as: "time", spare: 2 },
  { title: "NEXT TRY", value: ({ next_try_at }) => next_try_at, as: "time", spare: 3 },
];

const colourOf = (status: unknown): Colour =>
  status === "delivered" ? "green" : status === "failed" ? "red" : "yellow";

const pathOf = (input: CommandInput, rest = ""): string => `/admin/webhooks/${encode(input.words[0] ?? "")}${rest}`;

export async function listWebhooks(input: CommandInput): Promise<number> {
  // All of them are one answer, which takes no query.
  const { rows } = await listPage(input.client(), "/admin/webhooks", new URLSearchParams());
  input.printRows(WEBHOOK, rows, "There are no webhooks.");
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
