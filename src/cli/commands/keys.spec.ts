/** `keys` as it describes itself. */
import type { CommandSpec } from "../spec.ts";
import { createKey, getKey, listKeys, pauseKey, resumeKey, revokeKey, rotateKey, updateKey } from "./keys.ts";

const MEMBERS = [
  ["--app <app...>", "only these apps"],
  ["--route <route...>", "only these routes"],
  ["--scope <scope...>", "chat, models, traces:read, raw_models, approvals:decide"],
  ["--budget <usd/period>", "10/month; day, week, month or total"],
  ["--rpm <n>", "requests a minute"],
  ["--tpm <n>", "tokens a minute"],
  ["--concurrency <n>", "requests at a time"],
  ["--expires <time>", "90d, or a date; never"],
] as const;

export const KEYS: CommandSpec = {
  name: "keys",
  summary: "API keys: create, list, change, rotate, pause, revoke",
  commands: [
    {
      name: "list",
      summary: "all keys, never a secret",
      options: [
        ["--env <env>", "only this environment"],
        ["--status <status>", "active, paused, expired or revoked"],
      ],
      run: listKeys,
    },
    { name: "get <id>", summary: "one key and its spend", run: getKey },
    {
      name: "create",
      summary: "make a key; it is shown once",
      options: [
        ["--name <text>", "what it is for"],
        ["--env <env>", "the environment it belongs to"],
        ...MEMBERS,
        ["--new-env", "allow an environment that has not been used yet"],
      ],
      run: createKey,
    },
    {
      name: "update <id>",
      summary: "change what a key may do",
      options: [
        ["--name <text>", "what it is for"],
        ...MEMBERS,
        ["--any-app", "take its list of apps away"],
        ["--any-route", "take its list of routes away"],
        ["--no-limits", "take its limits away"],
      ],
      run: updateKey,
    },
    {
      name: "rotate <id>",
      summary: "a new secret; the one before works on for a while",
      options: [["--overlap <seconds>", "3600 by default, 0: not at all"]],
      run: rotateKey,
    },
    { name: "revoke <id>", summary: "end a key permanently", run: revokeKey },
    {
      name: "pause <id>",
      summary: "refuse a key for now",
      options: [["--resume", "let it work again"]],
      run: pauseKey,
    },
    { name: "resume <id>", summary: "let a paused key work again", run: resumeKey },
  ],
};
