/**
 * An operator's own provider: an endpoint that speaks OpenAI's protocol. The value of KV `provider:<id>` and of the
 * control plane's table. Never a secret: only the name of one.
 */
import * as z from "zod/mini";

export const PROVIDER_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const MAX_SECRETS = 9;
const MAX_URL_LENGTH = 2_048;
/** Secrets of the Worker that an operator's provider may be sent. No other can be reached through one. */
const SECRET_NAME = /^UPSTREAM_[A-Z0-9_]{1,100}$/;

/** Body of `PUT /admin/providers/{id}`. */
export const ProviderRequest = z.strictObject({
  protocol: z.enum(["openai"]),
  base_url: z.string().check(z.minLength(1), z.maxLength(MAX_URL_LENGTH)),
  secret: z.optional(z.nullable(z.string().check(z.regex(SECRET_NAME, "must match ^UPSTREAM_[A-Z0-9_]+$")))),
  /** Several, in place of `secret`: requests are spread over them. */
  secrets: z.optional(
    z
      .array(z.string().check(z.regex(SECRET_NAME, "must match ^UPSTREAM_[A-Z0-9_]+$")))
      .check(z.minLength(1), z.maxLength(MAX_SECRETS)),
  ),
  /** Its streams need no mending, so that their bytes may pass untouched: the operator's word, `false` by default. */
  clean: z.optional(z.boolean("must be true or false")),
});
export type ProviderRequest = z.infer<typeof ProviderRequest>;

export const ProviderRecord = z.strictObject({
  id: z.string().check(z.regex(PROVIDER_ID)),
  protocol: z.enum(["openai"]),
  /** As the check of addresses wrote it: no slash at the end. */
  base_url: z.string(),
  /** Name of a Worker secret; `null`: the endpoint is called without one. */
  secret: z.nullable(z.string().check(z.regex(SECRET_NAME))),
  /** Names of several, in place of `secret`, which is the first of them then. */
  secrets: z.optional(z.array(z.string().check(z.regex(SECRET_NAME)))),
  /** Absent in records of before: not clean. */
  clean: z.optional(z.boolean()),
});
export type ProviderRecord = z.infer<typeof ProviderRecord>;

/** KV key of a record. */
export const providerKey = (id: string): string => `provider:${id}`;
