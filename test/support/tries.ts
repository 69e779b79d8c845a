/** How hard a run tries: `npm run test:soak` as hard as a promise deserves, `npm test` as hard as its time allows. */

export const IS_SOAK = process.env["FLOW_SOAK"] === "1";

/** Tries of a property: all `count` in a soak, a third of them in a normal run. */
export const tries = (count: number): number => (IS_SOAK ? count : Math.ceil(count / 3));

/**
 * From one cut of a stream to the next, in bytes. Our own streams are cut at every byte in every run; of a recording,
 * which is much longer, a normal run takes some 400 places, spread over all of it.
 */
export const cutStep = (isOwn: boolean, lengthBytes: number): number =>
  IS_SOAK || isOwn ? 1 : Math.ceil(lengthBytes / 400);

/** Rows of a table whose tests cost processor time: all of them in a soak, each `step`-th one in a normal run. */
export const some = <Row>(rows: readonly Row[], step: number): readonly Row[] =>
  IS_SOAK ? rows : rows.filter((_, at) => at % step === 0);
