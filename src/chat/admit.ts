/**
 * Stage between plan and attempt: may this key spend now?
 *
 * First form: a key with a budget or limits asks its ledger before anything is sent, and is refused when the ledger
 * cannot say. Keys without either are settled afterwards only.
 */
import { invalidKey, RouterError } from "../errors.ts";
import type { KeyRecord } from "../keys/record.ts";
import { admitKey } from "../spend/client.ts";
import type { KeyLedger } from "../spend/key-ledger.ts";

/** Nano-USD left of the budget, `null` without one. Throws 402, 401 for a key revoked meanwhile, 503. */
export async function admit(
  ledgers: DurableObjectNamespace<KeyLedger>,
  key: KeyRecord,
  now: number,
): Promise<number | null> {
  if (key.budget === null && key.limits === null) return null;
  const admission = await admitKey(ledgers, key.id, key.budget, now);
  if (admission.ok) return admission.remainingNanoUsd;
  switch (admission.reason) {
    case "budget": {
      const period = key.budget?.period === "total" ? "" : ` for this ${key.budget?.period}`;
      throw new RouterError("budget_exceeded", `The budget of this API key${period} is spent. Raise its limit.`);
    }
    case "revoked":
      throw invalidKey();
    case "unavailable":
      throw new RouterError("ledger_unavailable", "The key's ledger does not answer. Try again shortly.");
  }
}
