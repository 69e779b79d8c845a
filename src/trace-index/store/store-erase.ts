/** Traces of a day that are no longer shown. What makes each count once stays, and so do all sums but those by tag. */
import { eraseTags } from "../usage-schema.sql.ts";
import type { Layout } from "./store-layout.ts";

/** Drops the JSON of the traces of one key, or of all where `keyId` is `null`. To be run inside a transaction. */
export function eraseIn(sql: SqlStorage, layout: Layout, keyId: string | null): void {
  const erased = sql.exec(layout.strip("(?1 IS NULL OR key_id = ?1)"), keyId);
  sql.exec("UPDATE trail SET bodies = max(0, bodies - ?)", erased.toArray().length);
  if (keyId === null) return;
  eraseTags(sql, keyId);
  // The copy in the archive of the month is an older one now.
  sql.exec("UPDATE trail SET changes = changes + 1");
}
