import { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";
import { isAgentId } from "../core/ids.ts";
import { resourceId, timestamp } from "../http/fields.ts";
import { MethodList, PathList } from "../services/schemas.ts";

const MAX_TTL_SECONDS = 315_360_000;
const TTL_REMEDY = 'invalid ttl: use a Go duration string (e.g. "1h", "30m"), or days ("7d")';

const Target = z.string().min(1, "target is required").max(128);

const ServiceGrant = z
  .strictObject({
    service: Target.describe("Id of the service."),
    methods: MethodList.nullable().default(null).describe("Null: all that the service allows."),
    paths: PathList.nullable().default(null).describe("Null: all that the service allows."),
  })
  .meta({ id: "ServiceGrant" });

const patterns = (what: string) =>
  z
    .array(z.string().regex(/^[\x21-\x7e]{1,256}$/, `${what}, in which * stands for any characters`))
    .min(1, "an empty list would allow nothing: leave it out")
    .max(128)
    .nullable()
    .default(null);
const ToolPattern = z
  .string()
  .regex(/^[A-Za-z0-9_.*/-]{1,128}$/, "a tool's name, in which * stands for any characters");

const ArgumentRule = z
  .strictObject({
    tool: ToolPattern.describe("Tools that it is about; `*` stands for any characters."),
    argument: z
      .string()
      .regex(/^[^.\p{Cc}]{1,128}(?:\.[^.\p{Cc}]{1,128}){0,7}$/u, "names joined by dots, such as owner or repo.name")
      .describe("Path of the argument, such as `repo.owner`. An array on the way stands for each of its elements."),
    allow: z
      .array(z.union([z.string().max(256).refine(hasFewStars, "at most eight stars"), z.number(), z.boolean()]))
      .min(1, "an empty list would allow nothing: leave the tool out of tools instead")
      .max(64)
      .describe(
        "Allowed values. In a text `*` stands for any characters but `/`, and `**` for any characters. A value that is " +
          "missing, null, an object or an empty array is refused; of an array every element must be allowed.",
      ),
  })
  .meta({ id: "ArgumentRule" });

const McpServerGrant = z
  .strictObject({
    mcp_server: z
      .string()
      .regex(/^[A-Za-z0-9*][A-Za-z0-9._*-]{0,63}$/, "not the name of an MCP server, nor a pattern with *")
      .describe("Name of an MCP server, or a pattern in which `*` stands for any characters."),
    tools: z
      .array(ToolPattern)
      .min(1, "an empty list would allow nothing: leave it out to allow all")
      .max(128)
      .nullable()
      .default(null)
      .describe("Null: all that the server's own list allows."),
    prompts: patterns("a prompt's name").describe("Null: all where `tools` is null, else none."),
    resources: patterns("a resource's URI").describe("Null: all where `tools` is null, else none."),
    arguments: z.array(ArgumentRule).max(64).default([]).describe("All rules about a tool must be met."),
  })
  .meta({ id: "McpServerGrant" });

const GRANT_FORM =
  "a grant is { service, methods?, paths? } or { mcp_server, tools?, prompts?, resources?, arguments? }";

const GrantBody = z.union([ServiceGrant, McpServerGrant], {
  error({ code, errors, input }) {
    // Of the two readings, the one that was meant: what is wrong with the other helps nobody.
    const meant =
      typeof input === "object" && input !== null ? ["service", "mcp_server"].findIndex((n) => n in input) : -1;
    const [problem] = (code === "invalid_union" && errors[meant]) || [];
    if (!problem) return GRANT_FORM;
    return [...(problem.path.length > 0 ? [problem.path.map(String).join(".")] : []), problem.message].join(": ");
  },
});

/** What one comparison costs is in proportion to the stars. */
function hasFewStars(text: string): boolean {
  return (text.match(/\*+/g) ?? []).length <= 8;
}

const Metadata = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "names: 1 to 64 characters of a-z A-Z 0-9 . _ -"),
    z
      .string()
      .max(256)
      .regex(/^\P{Cc}*$/u, "no control characters"),
  )
  .refine((map) => Object.keys(map).length <= 32, "at most 32 entries")
  .meta({ id: "KeyMetadata", description: "Your own labels. Never a secret." });

const fields = {
  name: z
    .string()
    .max(200)
    .regex(/^\P{Cc}*$/u, "no control characters"),
  target: Target.describe("Id of the one service it reaches; short for one grant."),
  grants: z.array(GrantBody).min(1, "grants is empty: such a key would reach nothing").max(32),
  scope: z.enum(["read", "write"], { error: "invalid scope" }).describe("`read`: only GET, HEAD and OPTIONS."),
  ttl: z.string({ error: TTL_REMEDY }).refine((text) => parseDurationMs(text) !== null, TTL_REMEDY),
  ttl_seconds: z.int().min(1).max(MAX_TTL_SECONDS),
  expires_at: z.iso.datetime({ offset: true, error: "invalid expires_at: use RFC3339" }),
  rate_limit: z
    .int({ error: "invalid rate_limit" })
    .min(1, "invalid rate_limit")
    .max(1_000_000, "invalid rate_limit")
    .describe("Requests per minute."),
  max_concurrency: z.int().min(1).max(100_000).nullable().describe("Requests at once; null: no limit."),
  one_shot: z.boolean().describe("The same as `max_uses: 1`."),
  max_uses: z.int().min(1).max(1_000_000_000).nullable().describe("Null: no limit."),
  agent_id: z
    .string()
    .refine(isAgentId, "use 1 to 128 characters of A-Z a-z 0-9 . _ : @ - and not . or .. alone")
    .nullable()
    .describe("The agent that will hold it."),
  metadata: Metadata,
};

interface Choices {
  readonly target?: unknown;
  readonly grants?: unknown;
  readonly ttl?: unknown;
  readonly ttl_seconds?: unknown;
  readonly expires_at?: unknown;
  readonly one_shot?: boolean | undefined;
  readonly max_uses?: number | null | undefined;
}
const given = (...values: unknown[]) => values.filter((value) => value !== undefined).length;

/** Fields that say the same thing in several ways: at most one of them. A check for `refine`, and what it says. */
type Rule = [(body: Choices) => boolean, { path: string[]; message: string }];
const oneTarget: Rule = [
  (body: Choices) => given(body.target, body.grants) <= 1,
  { path: ["grants"], message: "give target or grants, not both" },
];
const oneExpiry: Rule = [
  (body: Choices) => given(body.ttl, body.ttl_seconds, body.expires_at) <= 1,
  { path: ["expires_at"], message: "give one of ttl, ttl_seconds and expires_at" },
];
const oneLimit: Rule = [
  (body: Choices) => body.one_shot !== true || body.max_uses === undefined || body.max_uses === 1,
  { path: ["max_uses"], message: "must be 1 or left out when one_shot is true" },
];

/** What a client may decide. Source, owner, uses and the secret are the gateway's: here they are unknown keys. */
export const NewKey = z
  .strictObject({
    id: resourceId("id and target are required").optional(),
    name: fields.name.default(""),
    target: fields.target.optional(),
    grants: fields.grants.optional(),
    scope: fields.scope.default("read"),
    ttl: fields.ttl.optional().describe("Such as `30m`, `12h` or `7d`. Default: one hour."),
    ttl_seconds: fields.ttl_seconds.optional(),
    expires_at: fields.expires_at.optional(),
    rate_limit: fields.rate_limit.default(60),
    max_concurrency: fields.max_concurrency.default(null),
    one_shot: fields.one_shot.default(false),
    max_uses: fields.max_uses.optional(),
    agent_id: fields.agent_id.default(null),
    metadata: Metadata.default({}),
  })
  .refine((body) => body.target !== undefined || body.grants !== undefined, {
    path: ["target"],
    message: "target is required: name a service in target, or give grants",
  })
  .refine(...oneTarget)
  .refine(...oneExpiry)
  .refine(...oneLimit)
  .meta({ id: "NewKey" });

/** What is left out stays as it is. */
export const KeyChange = z
  .strictObject({
    id: z.string().optional().describe("If given, the id of the path."),
    name: fields.name.optional(),
    target: fields.target.optional(),
    grants: fields.grants.optional(),
    scope: fields.scope.optional(),
    ttl: fields.ttl.optional().describe("From now."),
    ttl_seconds: fields.ttl_seconds.optional().describe("From now."),
    expires_at: fields.expires_at.optional(),
    rate_limit: fields.rate_limit.optional(),
    max_concurrency: fields.max_concurrency.optional(),
    one_shot: fields.one_shot.optional(),
    max_uses: fields.max_uses.optional(),
    agent_id: fields.agent_id.optional(),
    metadata: Metadata.optional(),
  })
  .refine(...oneTarget)
  .refine(...oneExpiry)
  .refine(...oneLimit)
  .meta({ id: "KeyChange" });

export const Rotation = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(86_400)
      .optional()
      .describe(
        "How long the old secret still works. 0 ends it at once; default: the instance's `keys.rotation_grace`.",
      ),
  })
  .meta({ id: "KeyRotation" });

const view = {
  id: z.string().describe("Public id. Not a secret."),
  name: z.string(),
  target: z.string().nullable().describe("The service, where the key reaches exactly one."),
  grants: z.array(
    z.union([
      z
        .object({
          service: z.string(),
          methods: z.array(z.string()).nullable(),
          paths: z.array(z.string()).nullable(),
        })
        .meta({ id: "GrantedService" }),
      z
        .object({
          mcp_server: z.string(),
          tools: z.array(z.string()).nullable(),
          prompts: z.array(z.string()).nullable(),
          resources: z.array(z.string()).nullable(),
          arguments: z.array(
            z.object({
              tool: z.string(),
              argument: z.string(),
              allow: z.array(z.union([z.string(), z.number(), z.boolean()])),
            }),
          ),
        })
        .meta({ id: "GrantedMcpServer" }),
    ]),
  ),
  scope: z.enum(["read", "write"]),
  expires_at: timestamp,
  rate_limit: z.int(),
  max_concurrency: z.int().nullable(),
  max_uses: z.int().nullable(),
  one_shot: z.boolean(),
  uses: z.int().describe("Counted where `max_uses` is set."),
  used: z.boolean().describe("All uses are spent."),
  status: z.enum(["active", "expired", "revoked", "used"]),
  agent_id: z.string().nullable(),
  source: z.enum(["api", "mcp", "service_account"]).describe("Who asked for it."),
  owner: z.object({ kind: z.enum(["user", "service_account"]), id: z.string() }).meta({ id: "KeyOwner" }),
  metadata: Metadata,
  key_hint: z.string().describe("Last four characters of the secret (its checksum)."),
  previous_secret_expires_at: timestamp.nullable().describe("Until when the secret before the last rotation works."),
  created_at: timestamp,
  updated_at: timestamp,
  revoked_at: timestamp.nullable(),
};

export const KeyBody = z.object(view).meta({ id: "Key" });
export const IssuedKeyBody = z
  .object({ ...view, virtual_key: z.string().describe("The secret. Shown here and never again.") })
  .meta({ id: "IssuedKey" });
export type KeyBody = z.input<typeof KeyBody>;
