/** `spend`, `prices` and `budgets` as they describe themselves. */
import { type CommandSpec, RANGE } from "../spec.ts";
import {
  deleteBudget,
  deletePrice,
  getBudget,
  getPrice,
  listBudgets,
  listPrices,
  setBudget,
  setPrice,
  showSpend,
} from "./money.ts";
import { reprice } from "./reprice.ts";

export const SPEND: CommandSpec = {
  name: "spend",
  summary: "what was spent, in groups",
  options: [
    ["--group-by <group...>", "one or two of key, app, env, route, provider, model, api, tag.<name>; route by default"],
    ["--bucket <bucket>", "day or month"],
    ["--csv", "as CSV"],
    ...RANGE,
  ],
  run: showSpend,
  commands: [
    {
      name: "reprice <model>",
      summary: "put right what past requests of <provider>/<model> cost, at the prices that are set",
      options: [
        ...RANGE,
        ["--dry-run", "only say what would change"],
        ["--include-reported", "also what the provider itself said that it cost"],
      ],
      run: reprice,
    },
  ],
};

export const PRICES: CommandSpec = {
  name: "prices",
  summary: "your own prices, over the catalogue's",
  options: [["--watch", "those that end within 14 days, and targets without one"]],
  run: listPrices,
  commands: [
    { name: "get <model>", summary: "the price in force of <provider>/<model>", run: getPrice },
    {
      name: "set <model>",
      summary: "USD per million tokens; what is not named stays as in your price that is in force",
      options: [
        ["--input <usd>", "prompt"],
        ["--output <usd>", "completion"],
        ["--cache-read <usd>", "as input by default"],
        ["--cache-write <usd>", "as input by default"],
        ["--cache-write-1h <usd>", "as input by default"],
        ["--audio-in <usd>", "as input by default"],
        ["--audio-out <usd>", "as output by default"],
        ["--reasoning <usd>", "as output by default"],
        ["--per-request <usd>", "besides tokens"],
        ["--valid-from <time>", "now by default"],
        ["--valid-until <time>", "for ever by default"],
        ["--replace", "keep nothing of your price that is in force"],
      ],
      run: setPrice,
    },
    { name: "delete <model>", summary: "back to the catalogue's", run: deletePrice },
  ],
};

export const BUDGETS: CommandSpec = {
  name: "budgets",
  summary: "budgets above the keys",
  run: listBudgets,
  commands: [
    { name: "get <id>", summary: "one budget and what is left", run: getBudget },
    {
      name: "set <id>",
      summary: "make one, for the whole deployment or a scope; what is not named stays as in one that exists",
      options: [
        ["--limit <usd/period>", "500/month; day, week, month or total"],
        ["--env <env>", "only this environment"],
        ["--app <app>", "only this app"],
        ["--key <id...>", "only these keys"],
        ["--tag <name:value>", "only with this tag"],
        ["--time-zone <zone>", "whose midnight counts; UTC by default"],
        ["--notify", "refuse nothing, only notify"],
        ["--deny", "refuse what passes the limit; the default"],
        ["--replace", "keep nothing of the budget that exists"],
      ],
      run: setBudget,
    },
    { name: "delete <id>", summary: "take it away", run: deleteBudget },
  ],
};
