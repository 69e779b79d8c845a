/**
 * What a wire cannot express. Nothing is left out in silence: a writer that leaves something out says so here.
 */

export interface Loss {
  /** In the client's spelling: `temperature`, `messages[0].content[1]`, `tools[2].strict`. */
  readonly path: string;
  /**
   * What kind of thing it is: `part`, `tool`, `tool_choice`, `control`, `bound`, `member`, `schema`. For messages and
   * tests; never for deciding.
   */
  readonly code: "part" | "tool" | "tool_choice" | "control" | "bound" | "member" | "schema" | "modality" | "choices";
  /**
   * `harmless`: the answer stays what was asked for; the client gets its name (`x-flowlayer-dropped-params`).
   * `unmet`: an option that this target does not support (log probabilities, a penalty, a search that nothing forces):
   * it is skipped while another target can, a sole target is called without it, and the client gets its name.
   * `changes_meaning`: content (a part, a tool, a modality, `n`) would be missing. The target cannot serve the request;
   * it is skipped, and a sole target is refused with 400.
   */
  readonly weight: "harmless" | "unmet" | "changes_meaning";
  /** Why, in one plain sentence for a client: shown with `no_capable_target`. */
  readonly why?: string | undefined;
}

export function harmless(path: string, code: Loss["code"] = "control"): Loss {
  return { path, code, weight: "harmless" };
}

export function unmet(path: string, code: Loss["code"] = "control", why?: string): Loss {
  return { path, code, weight: "unmet", why };
}

export function changesMeaning(path: string, code: Loss["code"], why?: string): Loss {
  return { path, code, weight: "changes_meaning", why };
}

/** The first loss for which another target should be called instead, content before options; `undefined` for none. */
export function firstUnserved(losses: readonly Loss[]): Loss | undefined {
  return firstSerious(losses) ?? losses.find(({ weight }) => weight === "unmet");
}

/** The first loss that this target cannot serve the request with, `undefined` when there is none. */
export function firstSerious(losses: readonly Loss[]): Loss | undefined {
  return losses.find(({ weight }) => weight === "changes_meaning");
}
