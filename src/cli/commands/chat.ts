/** `chat`: one request on a route, and who answered it. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { refused } from "../client.ts";
import type { CommandInput } from "../input.ts";
import { answeredBy, refusedCredentials, streamChat } from "../requests.ts";
import { CommandError, EXIT_ERROR, EXIT_OK } from "../terminal.ts";
import { safe, safeLines } from "../text.ts";

export async function chat(input: CommandInput): Promise<number> {
  const [route = "", ...words] = input.words;
  const message = words.length > 0 ? words.join(" ") : ((await input.terminal.readInput?.()) ?? "").trim();
  if (message === "") throw new CommandError('Say what to send: flow-layer chat best-reasoning "Hello."');
  const client = input.keyClient();
  const budget = input.whole("latency-budget");
  const [app, env] = [input.text("app"), input.text("env")];
  // A key belongs to one environment: the host refuses another one, where the command could only ignore it.
  const headers = {
    ...(app === undefined ? {} : { "x-flowlayer-app": app }),
    ...(env === undefined ? {} : { "x-flowlayer-env": env }),
  };
  const system = input.text("system");
  const request = {
    model: route.includes("/") ? route : `flow/${route}`,
    messages: [
      ...(system === undefined ? [] : [{ role: "system", content: system }]),
      { role: "user", content: message },
    ],
    ...(budget === undefined ? {} : { route: { latency_budget_ms: budget } }),
  };
  if (input.isJson || input.has("no-stream")) {
    const response = await client.send("POST", "/v1/chat/completions", { body: JSON.stringify(request), headers });
    const value = tryParseJson(await response.text());
    if (!response.ok || !isJsonObject(value)) throw refused(client.origin, response.status, value, "", "");
    const [choice] = Array.isArray(value["choices"]) ? value["choices"] : [];
    const said = isJsonObject(choice) && isJsonObject(choice["message"]) ? choice["message"]["content"] : "";
    input.print(value, () => `${safeLines(typeof said === "string" ? said : JSON.stringify(choice))}\n`);
    tell(input, response.headers);
    return EXIT_OK;
  }
  const ended = await streamChat(client, request, (text) => input.terminal.write(safeLines(text)), headers);
  input.terminal.write("\n");
  tell(input, ended.headers);
  if (ended.error === null && ended.endedWell) return EXIT_OK;
  input.terminal.writeError(
    `The answer broke off: ${safe(String(ended.error?.["message"] ?? "the connection ended"))}\n`,
  );
  return EXIT_ERROR;
}

function tell({ terminal }: CommandInput, headers: Headers): void {
  terminal.writeError(`${safe(answeredBy(headers))}  ${safe(headers.get("x-request-id") ?? "")}\n`);
  for (const provider of refusedCredentials(headers)) {
    terminal.writeError(`${safe(provider)} refused the key that the host has for it: check the provider's secret.\n`);
  }
}
