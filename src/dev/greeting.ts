/** What `npm start` says when all is ready. Pure. */
import type { Seeding } from "./seeding.ts";
import type { Announcement } from "./state.ts";

const MAX_SHOWN = 3;

/** Which provider answers first on which route, and what to do where it is the sandbox. */
export function routesText({ routes, configured }: Seeding): string {
  const width = Math.max(...routes.map(({ name }) => name.length));
  const lines: string[] = [];
  for (const name of new Set(routes.map((route) => route.name))) {
    const places = routes.filter((route) => route.name === name);
    const texts = new Set(places.map(({ targets }) => orderText(targets)));
    for (const { env, targets, state } of texts.size === 1 ? places.slice(0, 1) : places) {
      const where = texts.size === 1 ? "" : ` (${env})`;
      const note = { new: "", same: "", followed: ", updated", kept: ", as you changed it" }[state];
      lines.push(`  ${name.padEnd(width)}  ${orderText(targets)}${where}${note}`);
    }
  }
  const head =
    configured.length === 0
      ? "No provider key found: the sandbox answers, and no model is called. With a key of yours:\n  OPENAI_API_KEY=sk-... npm start"
      : `Configured: ${configured.join(", ")}`;
  return `${head}\n\nWho answers first\n${lines.join("\n")}\n`;
}

function orderText(targets: readonly string[]): string {
  const real = targets.filter((target) => !target.startsWith("sandbox/"));
  const rest = real.length > MAX_SHOWN ? ` and ${real.length - MAX_SHOWN} more` : "";
  const hasSandbox = real.length < targets.length;
  const names = [...real.slice(0, MAX_SHOWN), ...(hasSandbox && rest === "" ? ["the sandbox"] : [])];
  return `${names.join(", then ")}${rest}`;
}

export function greeting({ base_url, keys }: Announcement, devFile: string, seeding: Seeding): string {
  return `
The Flow Layer is ready. Try:

curl ${base_url}/v1/chat/completions \\
  -H "Authorization: Bearer ${keys["production"]}" \\
  -H "Content-Type: application/json" \\
  -H "X-FlowLayer-App: studio-console" \\
  -H "X-FlowLayer-Env: production" \\
  -d '{
    "model": "flow/best-reasoning",
    "messages": [
      { "role": "user", "content": "Compare these model routes for a code review agent." }
    ],
    "route": {
      "fallback": true,
      "latency_budget_ms": 1800
    }
  }'

${routesText(seeding)}
Base URL for an OpenAI client   ${base_url}/v1
Pages and documentation         ${base_url}
Console                         ${base_url}/console
Keys and admin token            ${devFile}
More commands                   npx flow-layer --help
`;
}
