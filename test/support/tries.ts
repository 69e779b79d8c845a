/** How hard a run tries: `npm run test:soak` as hard as a promise deserves, `npm test` as hard as its time allows. */

export const IS_SOAK = process.env["FLOW_SOAK"] === "1";

/** Tries of a property: all `count` in a soak, a third of them in a normal run. */
export const tries = (count: number): number => (IS_SOAK ? count : Math.ceil(count / 3));

/**
 * From one cut of a stream to the next, in bytes. A soak cuts at every byte; a normal run at some 600 places of our own
 * streams, most of which are shorter, and at 300 of a recording, spread over all of it.
 */
export const cutStep = (isOwn: boolean, lengthBytes: number): number =>
  IS_SOAK ? 1 : Math.ceil(lengthBytes / (isOwn ? 600 : 300));

/** Rows of a table whose tests cost processor time: all of them in a soak, each `step`-th one in a normal run. */
export const some = <Row>(rows: readonly Row[], step: number): readonly Row[] =>
  IS_SOAK ? rows : rows.filter((_, at) => at % step === 0);
