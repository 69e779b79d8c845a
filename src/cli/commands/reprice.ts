/** `spend reprice`: starts a correction of past charges, waits for its end and says what it came to. */
import type { CommandInput } from "../input.ts";
import { encode } from "../input.ts";
import { record } from "../table.ts";
import { CommandError, EXIT_ERROR, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const POLL_MS = 250;
const WAIT_MS = 600_000;

export async function reprice(input: CommandInput): Promise<number> {
  const [target = ""] = input.words;
  const [provider = "", ...rest] = target.split("/");
  const model = rest.join("/");
  if (provider === "" || model === "") throw new CommandError("Name the model as <provider>/<model>.");
  const since = input.time("since");
  if (since === undefined) throw new CommandError("Say since when: --since 2026-11-30, or --since 2h.");
  const dryRun = input.has("dry-run");
  const request = {
    ...{ provider, model, since, until: input.time("until") },
    ...{ dry_run: dryRun, include_reported: input.has("include-reported") },
  };
  const client = input.client();
  if (!dryRun) await input.confirm(`Correct the charges of ${safe(target)} since ${since} on ${client.origin}?`);
  const { id } = await client.call("POST", "/admin/spend/reprice", { body: JSON.stringify(request) });
  if (typeof id !== "string") throw new CommandError(`${client.origin} started no repricing.`);
  const giveUpAt = Date.now() + WAIT_MS;
  for (;;) {
    const state = await client.call("GET", `/admin/spend/reprice/${encode(id)}`);
    const { status } = state;
    if (status !== "running") {
      input.print(state, () => record(Object.entries(state)));
      // A price that was set as of now leaves the past as it was: the likely mistake of who corrects one.
      if (status === "done" && Number(state["charges"]) > 0 && state["difference_usd"] === 0) {
        const hint = "To correct the past, set the price with --valid-from.";
        input.terminal.writeError(`Nothing differs: these charges have the prices that hold for their time. ${hint}\n`);
      }
      return status === "done" ? EXIT_OK : EXIT_ERROR;
    }
    if (Date.now() > giveUpAt) {
      throw new CommandError(`${safe(id)} goes on: GET /admin/spend/reprice/${safe(id)} says how far it is.`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
