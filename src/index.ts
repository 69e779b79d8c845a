/** Worker entry: the app, and the Durable Object classes that wrangler.toml binds. */
import { app } from "./app.ts";
import { type Env, inJurisdiction } from "./config.ts";

export { ToolApprovals } from "./approvals/tool-approvals.ts";
export { BudgetPool } from "./budgets/budget-pool.ts";
export { ControlPlane } from "./control/control-plane.ts";
export { ConversationStore } from "./conversation-store/conversation-store.ts";
export { ProviderHealth } from "./health/provider-health.ts";
export { KeyLedger } from "./ledger/key-ledger.ts";
export { RepricingJob } from "./repricing/repricing-job.ts";
export { SpendArchive } from "./spend-archive/spend-archive.ts";
export { TrailIndex } from "./trace-index/trail-index.ts";
export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) => app.fetch(request, inJurisdiction(env), ctx),
};
