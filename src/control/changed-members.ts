/** What of a document an operator's change has changed, for the audit log. Pure. */

export interface ChangedMembers {
  /** `null`: there was no such document. */
  readonly before: object | null;
  readonly after: object | null;
}

/** The members in which two documents differ; all of them where there is only one document. */
export function changedMembers(before: object | null, after: object | null): ChangedMembers {
  if (before === null || after === null) return { before, after };
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const isSame = (name: string): boolean => JSON.stringify(old.get(name)) === JSON.stringify(now.get(name));
  const only = (members: ReadonlyMap<string, unknown>): object =>
    Object.fromEntries([...members].filter(([name]) => !isSame(name)));
  return { before: only(old), after: only(now) };
}
