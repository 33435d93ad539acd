import { z } from "zod";
import { mayOwnKeys } from "../../../access/principal.ts";
import { GatewayError } from "../../../core/errors.ts";
import { DEFAULT_RATE_LIMIT, DEFAULT_TTL_SECONDS } from "../../types.ts";
import { invalidArguments } from "../parse-arguments.ts";
import { requiredText, wholeNumber } from "./arguments.ts";
import { keyFacts, KeyFacts } from "./key-view.ts";
import { defineTool } from "./tool.ts";

/** Ten years: far above any sane ceiling, and small enough that no date or counter can overflow. */
const LONGEST_TTL_SECONDS = 315_360_000;
const HIGHEST_RATE = 1_000_000;
const MOST_USES = 1_000_000_000;

const Input = z.strictObject({
  service_name: requiredText(128, "Name of the service, as `list_services` shows it."),
  ttl_seconds: wholeNumber(1, LONGEST_TTL_SECONDS, "How long the key is valid. Left out: an hour, or your ceiling.")
    .optional()
    .meta({ default: DEFAULT_TTL_SECONDS }),
  rate_limit: wholeNumber(1, HIGHEST_RATE, "Requests per minute. Left out: 60, or your ceiling.")
    .optional()
    .meta({ default: DEFAULT_RATE_LIMIT }),
  scope: z
    .enum(["read", "write"], { error: "must be read or write" })
    .describe("`read` admits GET, HEAD and OPTIONS only. Ask for `write` only when you must change something.")
    .default("read"),
  one_shot: z
    .boolean({ error: "must be true or false" })
    .describe("Make a key that works for a single request; the same as `max_uses: 1`.")
    .default(false),
  max_uses: wholeNumber(1, MOST_USES, "Make a key that stops working after this many requests.").optional(),
});

/**
 * Issues a virtual key for one service to the calling agent. Defaults are the least that is useful: read, an hour, 60
 * requests a minute.
 */
export const requestKey = defineTool({
  name: "request_key",
  title: "Request a virtual key",
  description:
    "Get a short-lived key for one API. Call the API at `proxy_base_url` with the key as `Authorization: Bearer`; " +
    "the gateway adds the real credential. The key is shown once.",
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
  input: Input,
  output: z.object({
    virtual_key: z.string().describe("The secret. Shown here and never again."),
    ...KeyFacts,
    proxy_base_url: z.string().describe("Base URL for the API's paths; works as the base URL of an SDK."),
  }),
  isOffered: mayOwnKeys,
  async run(deps, caller, input) {
    // A key that could mint keys would outlive its own expiry and limits, and a configured agent has no owner to answer for one.
    if (!mayOwnKeys(caller.principal)) throw new GatewayError("key.cannot_issue");
    if (input.one_shot && input.max_uses !== undefined && input.max_uses !== 1)
      throw invalidArguments([{ argument: "max_uses", problem: "must be 1 or absent when one_shot is true" }]);

    const { key, secret } = await deps.issueKey(caller, {
      serviceName: input.service_name,
      ttlSeconds: input.ttl_seconds ?? null,
      rateLimit: input.rate_limit ?? null,
      scope: input.scope,
      maxUses: input.one_shot ? 1 : (input.max_uses ?? null),
    });
    return { virtual_key: secret, ...keyFacts(key), proxy_base_url: `${caller.context.publicUrl}/v1/proxy` };
  },
});
