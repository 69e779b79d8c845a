/**
 * What a request brings or asks for besides plain text, as far as it can cost something.
 *
 * A reader of a door's wire makes it from exactly what will be sent; `pricing/` says what it can cost at most. What the
 * reader does not know is named: a bound that overlooks it would not be a bound.
 */

/** What a part holds that is not text, by the policy's own names (`limits.part_tokens`). */
export type Medium = "image" | "audio" | "video" | "file";

/** A part whose tokens do not follow from its length. */
export interface MediaPart {
  readonly medium: Medium;
  /** In the client's spelling: `messages[0].content[1]`. */
  readonly path: string;
  /** Characters of base64 that stand in the body for it; 0 where the provider fetches it. */
  readonly base64Length: number;
  /** The first bytes of it: they say of what kind it is. Absent where the provider fetches it. */
  readonly head?: Uint8Array | undefined;
  /** For a picture that the provider fetches: the address itself says that it is a picture. */
  readonly isPictureByName?: boolean | undefined;
}

export interface ContentDemand {
  readonly messages: number;
  readonly media: readonly MediaPart[];
  /** Characters of base64 of all parts together: they are no text, wherever the length of a prompt is measured. */
  readonly base64Length: number;
  /** The first part whose cost the reader cannot tell, by its path; `null`: it knows all. */
  readonly unknownPart: string | null;
  /** The same of a member: it counts only where unread members reach the provider. */
  readonly unknownMember: string | null;
}

/** A tool that a provider runs, or defines, itself. */
export interface ProviderToolDemand {
  /** Its `type`, or the one member that it is made of (`googleSearch`). */
  readonly type: string;
  readonly path: string;
  /** The most calls that the client allows. */
  readonly maxCalls?: number | undefined;
  /** The most tokens that one call may bring, where the tool has a cap of its own. */
  readonly maxTokensPerCall?: number | undefined;
}

export interface ToolDemand {
  /** The request offers tools of any kind, or declares functions. */
  readonly hasTools: boolean;
  readonly provider: readonly ProviderToolDemand[];
  /** The first tool, or member of one, that the reader does not know, by its path. */
  readonly unknown: string | null;
}
