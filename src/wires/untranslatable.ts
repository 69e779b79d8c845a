/** The wire has no way to say what was asked for: the target cannot serve the request. */
import type { Loss } from "../conversation/loss.ts";

export class UntranslatableRequest extends Error {
  override readonly name = "UntranslatableRequest";
  readonly loss: Loss | undefined;

  constructor(loss?: Loss) {
    super(loss?.why ?? "The request cannot be written for this provider.");
    this.loss = loss;
  }
}
