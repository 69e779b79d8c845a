/** `routes` as it describes itself. */
import type { CommandSpec } from "../spec.ts";
import { explainRoute } from "./explain.ts";
import { applyRoutes, diffRoutes, pullRoutes } from "./route-files.ts";
import { getRoute, listRoutes, listVersions, promoteRoute, rollBackRoute, showEvidence } from "./routes.ts";

const FILES = [
  ["--dir <folder>", "folder of the policies, `policies` by default"],
  ["--env <env...>", "only these environments"],
] as const;
const FORCE = ["--force <reason>", "go against the guard, and why"] as const;
const NEW_ENV = ["--new-env", "allow an environment that has not been used yet"] as const;

export const ROUTES: CommandSpec = {
  name: "routes",
  summary: "policies: files, versions, evidence, promotion, rollback",
  notes:
    "Policies are JSON files, <dir>/<env>/<route>.json. A route without a\nfile stays as it is. Every change holds only for the version that its plan was\nmade on.",
  commands: [
    { name: "list", summary: "what is active", options: [["--env <env>", "only this environment"]], run: listRoutes },
    { name: "get <env/route> [version]", summary: "one policy", run: getRoute },
    { name: "versions <env/route>", summary: "its history, newest first", run: listVersions },
    {
      name: "evidence <env/route>",
      summary: "what the traces of a version show",
      options: [
        ["--version <n>", "the active one by default"],
        ["--window-hours <n>", "1 to 720"],
      ],
      run: showEvidence,
    },
    {
      name: "explain <env/route>",
      summary: "who would answer a request now, and why",
      options: [
        ["--message <text>", "what is asked"],
        ["--request <file>", "a whole request as JSON"],
        ["--policy <file>", "a draft in place of the active policy"],
        ["--key <id>", "with the limits of this key"],
        ["--api <api>", "chat, responses, messages or embeddings"],
        ["--at <time>", "the time whose prices hold"],
      ],
      run: explainRoute,
    },
    {
      name: "diff",
      summary: "what apply would change; exit code 2 where there is something",
      options: [...FILES, ["--prune [count]", "count routes without a file as deletions"]],
      run: diffRoutes,
    },
    {
      name: "apply",
      summary: "make the host like the files",
      options: [
        ...FILES,
        ["--prune [count]", "delete routes without a file: so many, no more and no fewer"],
        FORCE,
        NEW_ENV,
      ],
      run: applyRoutes,
    },
    { name: "pull", summary: "write the active policies as files", options: FILES, run: pullRoutes },
    {
      name: "promote <route>",
      summary: "bring the version of one environment to another, if its evidence passes the gates",
      options: [
        ["--from <env>", "where it was tried"],
        ["--to <env>", "where it shall serve"],
        ["--dry-run", "show only"],
        FORCE,
        NEW_ENV,
      ],
      run: promoteRoute,
    },
    {
      name: "rollback <env/route> [version]",
      summary: "bring an old version back; without a number the one before",
      options: [["--reason <text>", "for the audit log"]],
      run: rollBackRoute,
    },
  ],
};
