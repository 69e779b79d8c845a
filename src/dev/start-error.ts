/** Ends a start with a sentence: what is wrong, and what to do. */
export class StartError extends Error {
  override readonly name = "StartError";
}
