/** `/policy.schema.json`: what editors check policy files against and complete them from. */

type Schema = Readonly<Record<string, unknown>>;

/** What each member means, by its path; `[]` stands for the elements of an array. A test wants all of them. */
const MEANINGS: Readonly<Record<string, string>> = {
  $schema: "For editors. It is left out of what is published.",
  targets: "The approved targets, in order of preference.",
  "targets[].provider": "A provider's id, built in or your own.",
  "targets[].model": "The provider's id of the model. One without a known price is accepted and unpriced.",
  "targets[].weight": "Share of the requests with the strategy `weighted`.",
  "targets[].params": "Members for this target that a request left out, such as `max_tokens`.",
  description: "What the route is for. Shown in the list of models.",
  strategy: "Which target goes first. A conversation stays with its target in every strategy.",
  fallback: "Moving on when a target fails before the first byte reached the client.",
  "fallback.enabled": "`false`: only the first target is tried.",
  "fallback.max_attempts": "Calls of one request, all targets together.",
  "fallback.on": "Refusals of the request that move on, too.",
  retry: "Trying the same target once more.",
  "retry.same_target": "Retries of one target.",
  "retry.backoff_ms": "Milliseconds before the first retry; then longer, with jitter.",
  "retry.max_retry_after_ms": "The longest `Retry-After` that is waited for.",
  stream_recovery: "`resume`: a broken stream goes on at the next target where the text agrees.",
  latency: "How long an answer may take to begin.",
  "latency.budget_ms": "To the first token of a stream, or to the whole answer.",
  "latency.mode": "`soft` waits on and says so, `hard` answers 504.",
  "latency.hedge": "A second target is called in parallel while the first stays silent.",
  "latency.hedge_max_ratio": "Share of the requests that may hedge.",
  timeouts: "Clocks of one request, in milliseconds.",
  "timeouts.first_token_ms": "A target's time to its first token.",
  "timeouts.idle_ms": "The longest silence within a stream.",
  "timeouts.total_ms": "The whole request.",
  spend: "What one request may cost.",
  "spend.max_request_usd": "All attempts included. A target whose bound is higher is skipped.",
  limits: "Bounds of input and output.",
  "limits.max_output_tokens": "Cap of the answer.",
  "limits.min_output_tokens": "A cap that the router sets is not below this.",
  "limits.expected_output_tokens": "What counts for tokens per minute where the request has no cap.",
  "limits.part_tokens": "Most prompt tokens of one part, by its kind; for requests that must stay within a budget.",
  "limits.part_tokens.image": "One picture.",
  "limits.part_tokens.audio": "One piece of sound.",
  "limits.part_tokens.video": "One film.",
  "limits.part_tokens.file": "One document.",
  "limits.tool_tokens": "Most prompt tokens that one call of a provider's tool brings in, by the tool's type.",
  tools: "Approval of tool calls.",
  "tools.require_approval": "Every tool call waits for a decision.",
  "tools.delivery": "`hold` keeps calls back, `mark` releases them with a mark.",
  "tools.wait_ms": "The longest time that an answer is held.",
  "tools.auto_approve": "Globs of tool names that are approved at once.",
  "tools.deny": "Globs of tool names that are denied at once; they win.",
  "tools.ttl_seconds": "How long a call can be decided.",
  responses: "Stored responses, for `previous_response_id`.",
  "responses.store": "`false`: none is kept.",
  "responses.ttl_seconds": "How long, from the last response of a conversation on.",
  promotion: "What a version must show before it is promoted.",
  "promotion.required": "`true`: changes come by promotion where this policy is active. A list: in these environments.",
  "promotion.window_hours": "Traces of so many hours count.",
  "promotion.min_requests": "Requests that are needed.",
  "promotion.min_success_rate": "Measured success rate.",
  "promotion.min_success_lower_bound": "Success rate that the evidence supports with 95 % confidence (Wilson).",
  "promotion.max_p95_latency_ms": "95th percentile of the whole time.",
  "promotion.max_cost_usd_per_request": "Average cost of a request.",
  aliases: "Model names by which clients reach this route: exact, or with one `*` at the end.",
  embedding: "Makes it a route of embeddings.",
  "embedding.space": "Vectors of different spaces cannot be compared: all targets are of this one.",
  "embedding.dimensions": "Length of the vectors.",
  "targets[].same_space": "This target's vectors are of the same space although its model has another name.",
};

/** Members without a meaning, for the test. */
export function undescribed(policy: Schema): string[] {
  return pathsOf(policy).filter((path) => MEANINGS[path] === undefined);
}

export function policySchema(policy: Schema, providers: readonly string[]): Schema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Policy of a route of The Flow Layer",
    ...described(policy, "", providers),
  };
}

function described(schema: Schema, path: string, providers: readonly string[]): Schema {
  const { properties, items } = schema;
  const meaning = MEANINGS[path];
  return {
    ...schema,
    ...(meaning === undefined ? {} : { description: meaning }),
    // Built-in ids are offered, and an operator's own id is valid too.
    ...(path === "targets[].provider" ? { anyOf: [{ enum: providers }, { type: "string" }] } : {}),
    ...(isSchema(items) ? { items: described(items, `${path}[]`, providers) } : {}),
    ...(isSchema(properties)
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, member]) => [
              name,
              isSchema(member) ? described(member, path === "" ? name : `${path}.${name}`, providers) : member,
            ]),
          ),
        }
      : {}),
  };
}

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null;

function pathsOf({ properties, items }: Schema, path = ""): string[] {
  const own = isSchema(items) ? pathsOf(items, `${path}[]`) : [];
  const members = isSchema(properties) ? Object.entries(properties) : [];
  return [
    ...own,
    ...members.flatMap(([name, member]) => {
      const at = path === "" ? name : `${path}.${name}`;
      return [at, ...(isSchema(member) ? pathsOf(member, at) : [])];
    }),
  ];
}
