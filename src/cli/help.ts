/** What `flow --help` says. */
export const HELP = `flow: policies, keys, traces and approvals of a Flow Layer host.

Usage
  flow routes list      [--env <env>]
  flow routes diff      [--env <env>]... [--dir policies] [--prune]
  flow routes apply     [--env <env>]... [--dir policies] [--prune] [--yes] [--force <reason>]
  flow routes promote   <route> --from <env> --to <env> [--force <reason>]
  flow routes rollback  <env>/<route> [<version>] [--yes]
  flow keys list        [--env <env>]
  flow keys create      --name <text> --env <env> [--app <app>]... [--route <route>]... [--scope <scope>]...
                        [--budget <usd>/day|month|total] [--rpm <n>] [--tpm <n>] [--concurrency <n>] [--expires <time>]
  flow keys rotate      <id> [--overlap <seconds>]
  flow keys revoke      <id> [--yes]
  flow traces           [--env --app --route --provider --status --key --since --until --limit --cursor <value>]
  flow traces <id>
  flow approvals        [--status pending|approved|denied|expired|all] [--key <id>] [--limit <n>] [--cursor <text>]
  flow approvals approve|deny <tool call id> [--key <id>] [--reason <text>]

Options of every command
  --url <url>   The host. Otherwise FLOW_LAYER_URL. It must be https, except on localhost.
  --json        JSON on the standard output. Plans, questions and faults go to the standard error.
  --yes, -y     Do not ask. Without it and without a terminal nothing is changed.
  --help, -h    This text.

The admin token is read from FLOW_ADMIN_TOKEN. It is never printed, and there is no option for it.

Policies are plain JSON files: <dir>/<env>/<route>.json. All files are checked before anything is compared. A route
without a file stays as it is; --prune deletes it. \`apply\` shows its plan first, and every change holds only for the
version the plan was made on. --force gives the reason for a change that a policy or its gates would refuse; it is kept
in the audit log. \`rollback\` without a version goes back to the one before the active one.

Exit codes
  0  done, or nothing to do
  1  error
  2  changes are pending (diff), or were not confirmed: nothing was changed
  3  a promotion is blocked by its gates, or the policy takes changes by promotion only
`;
