/** Refuses what needs data while `FLOW_JURISDICTION` is not the one that the deployment began with. */
import { jurisdictionFault } from "../durable/jurisdiction.ts";
import { RouterError } from "./errors.ts";

interface Checked {
  readonly jurisdiction: string;
  readonly fault: string | null;
}

/** What KV said, once per isolate: a deployment that was corrected starts new ones. */
let checked: Checked | undefined;

/**
 * Throws 503 where the deployment began elsewhere. With a jurisdiction the first request of an isolate waits for the
 * answer of KV; without one, as most are, it is looked up behind that request.
 */
export async function refuseMoved(
  kv: Pick<KVNamespace, "get" | "list">,
  jurisdiction: string,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<void> {
  if (checked?.jurisdiction !== jurisdiction) {
    // A KV that does not answer is asked again by the next request: what it holds is needed for every other step too.
    const look = async (): Promise<void> => {
      const fault = await jurisdictionFault(kv, jurisdiction);
      checked = { jurisdiction, fault };
    };
    if (jurisdiction !== "") await look().catch(() => {});
    else {
      checked = { jurisdiction, fault: null };
      waitUntil(look().catch(() => {}));
    }
  }
  const fault = checked?.fault ?? null;
  if (fault !== null) throw new RouterError("policy_unavailable", fault);
}
