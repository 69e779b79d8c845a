/** `webhooks` as it describes itself. */
import type { CommandSpec } from "../spec.ts";
import { deleteWebhook, listDeliveries, listWebhooks, rotateWebhook, setWebhook, testWebhook } from "./webhooks.ts";

export const WEBHOOKS: CommandSpec = {
  name: "webhooks",
  summary: "who is notified of what",
  run: listWebhooks,
  commands: [
    {
      name: "set <id>",
      summary: "make or change one; its secret is shown once",
      options: [
        ["--target <url>", "https address that gets the notices"],
        ["--event <event...>", "approval.pending, budget.threshold, breaker.opened, route.promoted, key.expiring ..."],
      ],
      run: setWebhook,
    },
    { name: "rotate <id>", summary: "a new secret; both sign for 24 h", run: rotateWebhook },
    { name: "test <id>", summary: "send a test notice", run: testWebhook },
    { name: "deliveries <id>", summary: "what was sent in the last 7 days", run: listDeliveries },
    { name: "delete <id>", summary: "take it away", run: deleteWebhook },
  ],
};
