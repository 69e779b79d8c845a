/** Traces of a day that are no longer shown. What makes each count once stays, and so do all sums. */

/** Deletes the traces of one key, or of all where `keyId` is `null`. To be run inside a transaction. */
export function eraseIn(sql: SqlStorage, keyId: string | null): void {
  const deleted = sql.exec(
    "DELETE FROM body WHERE seq IN (SELECT seq FROM trace WHERE ?1 IS NULL OR key_id = ?1) RETURNING seq",
    keyId,
  );
  sql.exec("UPDATE trail SET bodies = max(0, bodies - ?)", deleted.toArray().length);
}
