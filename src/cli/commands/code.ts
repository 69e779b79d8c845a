/** `code`: Claude Code and Codex on a route of this host, by their own settings. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { noApiKey } from "../client.ts";
import type { CommandInput } from "../input.ts";
import { CommandError, EXIT_OK } from "../terminal.ts";
import { safe } from "../text.ts";

const DEFAULT_ROUTE = "agent-reasoning";
const FAST_ROUTE = "fast-eval";

export async function code(input: CommandInput): Promise<number> {
  const [tool = ""] = input.words;
  if (tool === "claude") return claude(input);
  if (tool === "codex") return codex(input);
  throw new CommandError("The tools are claude and codex: flow-layer code claude");
}

function settings(input: CommandInput) {
  const host = input.host();
  const { base, apiKey } = host;
  if (apiKey === "") throw noApiKey(host);
  const url = `${base.origin}${base.pathname.replace(/\/+$/, "")}`;
  return { url, apiKey, route: input.text("route") ?? DEFAULT_ROUTE, fast: input.text("fast-route") ?? FAST_ROUTE };
}

/** https://code.claude.com/docs/en/llm-gateway: a gateway is named by variables of the environment. */
async function claude(input: CommandInput): Promise<number> {
  const { url, apiKey, route, fast } = settings(input);
  const env = {
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_AUTH_TOKEN: apiKey,
    ANTHROPIC_MODEL: `anthropic/flow-${route}`,
    ANTHROPIC_DEFAULT_HAIKU_MODEL: `anthropic/flow-${fast}`,
  };
  if (!input.has("write")) {
    const lines = Object.entries(env).map(([name, value]) => `export ${name}=${value}\n`);
    input.print({ env }, () => `${lines.join("")}claude\n`);
    return EXIT_OK;
  }
  const file = join(input.terminal.directory, ".claude", "settings.local.json");
  const before = await readFile(file, "utf8").catch(() => "{}");
  const value = tryParseJson(before);
  if (!isJsonObject(value)) throw new CommandError(`${safe(file)} holds no JSON object. Mend it first.`);
  const kept = isJsonObject(value["env"]) ? value["env"] : {};
  await write(file, `${JSON.stringify({ ...value, env: { ...kept, ...env } }, null, 2)}\n`);
  input.print({ file }, () => `Written: ${safe(file)}, with the key. Start \`claude\` in this folder.\n`);
  return EXIT_OK;
}

const MARK = "# Written by `flow-layer code codex`.";

/** https://developers.openai.com/codex/config-advanced#profiles: a profile is a file of its own next to `config.toml`. */
async function codex(input: CommandInput): Promise<number> {
  const { url, route } = settings(input);
  const config = [
    MARK,
    'model_provider = "flow-layer"',
    `model = ${JSON.stringify(`flow/${route}`)}`,
    "",
    "[model_providers.flow-layer]",
    'name = "The Flow Layer"',
    `base_url = ${JSON.stringify(`${url}/v1`)}`,
    'env_key = "FLOW_LAYER_API_KEY"',
    'wire_api = "responses"',
    "",
  ].join("\n");
  const start = "codex --profile flow-layer";
  const { variables } = input.terminal;
  const home = variables["CODEX_HOME"] ?? join(variables["HOME"] ?? variables["USERPROFILE"] ?? "", ".codex");
  const file = join(home, "flow-layer.config.toml");
  if (!input.has("write")) {
    input.print({ file, config }, () => `# ${file}\n${config}\n# then, with FLOW_LAYER_API_KEY set: ${start}\n`);
    return EXIT_OK;
  }
  const before = await readFile(file, "utf8").catch(() => "");
  if (before !== "" && !before.startsWith(MARK)) {
    throw new CommandError(`${safe(file)} is a profile of your own. Rename it first.`);
  }
  await write(file, config);
  input.print({ file }, () => `Written: ${safe(file)}. With FLOW_LAYER_API_KEY set: ${start}\n`);
  return EXIT_OK;
}

async function write(file: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text, { mode: 0o600 });
  } catch {
    throw new CommandError(`${safe(file)} cannot be written.`);
  }
}
