/** All commands. */
import { approve, deny, listApprovals } from "./commands/approvals.ts";
import { chat } from "./commands/chat.ts";
import { code } from "./commands/code.ts";
import { demo } from "./commands/demo.ts";
import { doctor } from "./commands/doctor.ts";
import { exportAll, importAll, listModels, openPage, showAudit, showStatus } from "./commands/host.ts";
import { KEYS } from "./commands/keys.spec.ts";
import { initSecrets, listProfiles, login, logout } from "./commands/login.ts";
import { BUDGETS, PRICES, SPEND } from "./commands/money.spec.ts";
import { disableProvider, enableProvider, listProviders } from "./commands/providers.ts";
import { showTraces } from "./commands/traces.ts";
import { WEBHOOKS } from "./commands/webhooks.spec.ts";
import { completion } from "./completion.ts";
import { ROUTES } from "./routes/routes.spec.ts";
import { type CommandSpec, PAGE, RANGE } from "./spec.ts";

const DECIDE = [
  ["--key <id>", "the key whose call it is, where two have the id"],
  ["--reason <text>", "kept with the decision"],
] as const;

export const ROOT: CommandSpec = {
  name: "flow-layer",
  summary: "Routes, keys, traces, approvals and money of a Flow Layer host.",
  notes: `The host is the one of --profile; else --url or FLOW_LAYER_URL with
FLOW_ADMIN_TOKEN; else the local instance whose .flowlayer/dev.json is in this
folder or above it; else the profile of the last login. Tokens are never
printed, and there is no option for one.

Exit codes
  0  done, or nothing to do
  1  error
  2  changes are pending (diff, dry run) or were not confirmed: nothing changed
  3  a promotion is blocked by its gates, or the policy takes promotions only`,
  commands: [
    {
      name: "chat <route> [message...]",
      summary: "send one request; without a message it is read from the standard input",
      options: [
        ["--env <env>", "the key's environment; chooses the key of a local instance"],
        ["--app <app>", "the app it counts for"],
        ["--system <text>", "a system message"],
        ["--latency-budget <ms>", "see the policy's latency.budget_ms"],
        ["--no-stream", "the answer at once"],
      ],
      run: chat,
    },
    {
      name: "doctor",
      summary: "check a host: address, token, secrets, a request, its trace, a broken stream",
      options: [
        ["--env <env>", "where to try, production by default"],
        ["--route <name>", "the route to send a request on"],
      ],
      notes: "It makes a key and a route of its own for the try, and removes both.",
      run: doctor,
    },
    {
      name: "demo",
      summary: "watch the sandbox fail over",
      options: [["--env <env>", "production by default"]],
      run: demo,
    },
    ROUTES,
    KEYS,
    {
      name: "providers",
      summary: "which providers can be called, and how their targets fare",
      options: [["--all", "those that are not configured too, with the missing secrets"]],
      run: listProviders,
      commands: [
        {
          name: "disable <target>",
          summary: "take a provider, or <provider>/<model>, out of every route",
          options: [
            ["--reason <text>", "for the audit log"],
            ["--until <time>", "come back by itself: 2h, or a date"],
          ],
          run: disableProvider,
        },
        {
          name: "enable <target>",
          summary: "bring it back",
          options: [["--reason <text>", "for the audit log"]],
          run: enableProvider,
        },
      ],
    },
    {
      name: "traces [id]",
      summary: "the log trail across keys and providers, or one trace",
      options: [
        ["--follow", "go on showing new ones"],
        ["--all", "every page"],
        ...["env", "app", "route", "provider", "model", "key", "api"].map(
          (name) => [`--${name} <${name}>`, `only this ${name}`] as const,
        ),
        ["--status <status>", "ok, error, cancelled, denied or refused"],
        ["--error-code <code>", "such as upstream_failed"],
        ["--fallback <bool>", "true: those that left their first target"],
        ["--tag <name:value>", "only with this tag"],
        ["--session <id>", "only of this conversation"],
        ["--client-request-id <id>", "only with this id of the client's"],
        ["--min-cost-usd <usd>", "cost at least this much"],
        ["--min-total-ms <ms>", "took at least this long"],
        ...RANGE,
        ...PAGE,
      ],
      run: showTraces,
    },
    {
      name: "approvals",
      summary: "tool calls that wait for a decision",
      options: [
        ["--watch", "show each as it comes, and ask"],
        ["--status <status>", "pending, approved, denied, expired or all"],
        ["--key <id>", "only of this key"],
        ...PAGE,
      ],
      run: listApprovals,
      commands: [
        { name: "approve <id>", summary: "release a tool call", options: DECIDE, run: approve },
        { name: "deny <id>", summary: "refuse a tool call", options: DECIDE, run: deny },
      ],
    },
    SPEND,
    PRICES,
    BUDGETS,
    WEBHOOKS,
    {
      name: "audit",
      summary: "who changed what, newest first",
      options: [
        ["--actor <name>", "only this operator"],
        ["--action <action>", "such as key.update, or key for all of keys"],
        ["--object <object>", 'such as "route production/fast"'],
        ["--all", "every page"],
        ...RANGE,
        ...PAGE,
      ],
      run: showAudit,
    },
    {
      name: "models [words...]",
      summary: "the catalogue: prices and windows",
      options: [["--all", "not only the first 50"]],
      run: listModels,
    },
    { name: "status", summary: "the host's own checks; fails where one does", run: showStatus },
    { name: "export [file]", summary: "everything a new deployment needs, one object a line", run: exportAll },
    { name: "import <file>", summary: "into an empty deployment with the same pepper", run: importAll },
    { name: "open [page]", summary: "home, docs, models or console in the browser", run: openPage },
    {
      name: "code <tool>",
      summary: "settings of Claude Code (claude) and Codex (codex) for a route",
      options: [
        ["--route <name>", "agent-reasoning by default"],
        ["--fast-route <name>", "for small tasks of Claude Code; fast-eval by default"],
        ["--env <env>", "which key of a local instance"],
        ["--write", "into .claude/settings.local.json or ~/.codex/config.toml"],
      ],
      run: code,
    },
    {
      name: "login",
      summary: "keep a host and its admin token as a profile",
      options: [["--api-key", "an API key too, for chat and code"]],
      notes:
        "The token is asked for, or read from the standard input, where the key of\n--api-key is the second line. Both are kept in ~/.config/flow-layer/, which only\nyour user can read.",
      run: login,
    },
    { name: "logout", summary: "forget a profile", run: logout },
    { name: "profiles", summary: "the hosts that login has kept", run: listProfiles },
    { name: "init-secrets [file]", summary: "a pepper and an admin token for a new deployment", run: initSecrets },
    {
      name: "completion <shell>",
      summary: "completions for bash, zsh or fish",
      notes: `bash  source <(flow-layer completion bash)
zsh   source <(flow-layer completion zsh)
fish  flow-layer completion fish | source`,
      run: completion,
    },
  ],
};
