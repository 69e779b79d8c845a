/** What is left of recorded calls once their key's data is erased. To be run inside a transaction. */

const ERASE = [
  "DELETE FROM step",
  "DELETE FROM call WHERE status = 'approved'",
  // Those that were never approved stay as bare ids: a result of one is refused as before.
  "UPDATE call SET arguments = NULL, name = '', app = '', route = '', reason = NULL, unsent = 0",
];

export function eraseRecord(sql: SqlStorage): void {
  for (const statement of ERASE) sql.exec(statement);
}
