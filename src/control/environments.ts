/** Which environments there are. Pure but for the tables. */

/** There from the start. Others come to be with their first key or route. */
const FIRST_ENVIRONMENTS: readonly string[] = ["production", "staging", "development"];

/** It is there from the start, or has or had a key or a route. */
export function isKnownEnvironment(sql: SqlStorage, env: string): boolean {
  if (FIRST_ENVIRONMENTS.includes(env)) return true;
  const query = `
    SELECT EXISTS (SELECT 1 FROM key_record WHERE env = ?1)
    OR EXISTS (SELECT 1 FROM route_version WHERE env = ?1) AS known`;
  return sql.exec<{ known: number }>(query, env).one().known === 1;
}
