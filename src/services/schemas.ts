import { z } from "zod";
import { isAllowEntry } from "../core/address-range.ts";
import { isPathPattern } from "../core/path-pattern.ts";
import { parseEndpoint } from "../core/upstream-address.ts";
import { resourceId, timestamp } from "../http/fields.ts";
import { DEFAULT_TIMEOUTS } from "./model.ts";
import { isInjectableHeader, TOKEN } from "./rules.ts";

const PRINTABLE = /^[\x20-\x7e]*$/;

export const HeaderName = z
  .string()
  .regex(TOKEN, "not a header name")
  .refine(isInjectableHeader, "this header frames or routes the request and cannot hold a credential");

const HeaderInjection = z
  .strictObject({
    type: z.literal("header"),
    name: HeaderName.default("X-API-Key"),
    prefix: z.string().max(256).regex(PRINTABLE, "only printable ASCII").default(""),
    template: z
      .string()
      .max(512)
      .regex(PRINTABLE, "only printable ASCII")
      .refine((text) => text.includes("{secret}"), "must contain {secret}")
      .nullable()
      .default(null)
      .describe("The header's value with `{secret}` in it; `prefix` is not used then."),
  })
  .refine((header) => header.template === null || header.prefix === "", {
    path: ["prefix"],
    message: "give a prefix or a template, not both",
  })
  .meta({ id: "HeaderInjection" });
const BearerInjection = z.strictObject({ type: z.literal("bearer") }).meta({ id: "BearerInjection" });
const BasicInjection = z
  .strictObject({
    type: z.literal("basic"),
    username: z
      .string()
      .max(256)
      .regex(/^[^:\p{Cc}]*$/u, "a user name has no colon and no control character (RFC 7617)")
      .nullable()
      .default(null)
      .describe("Null: the secret is the whole `user:password`."),
  })
  .meta({ id: "BasicInjection" });
const QueryInjection = z
  .strictObject({
    type: z.literal("query"),
    name: z.string().regex(/^[A-Za-z0-9._~-]{1,64}$/, "1 to 64 characters of A-Z a-z 0-9 . _ ~ -"),
  })
  .meta({ id: "QueryInjection" });

export const InjectionBody = z
  .discriminatedUnion("type", [HeaderInjection, BearerInjection, BasicInjection, QueryInjection])
  .meta({ id: "Injection", description: "How the root key is put into the request to the upstream." });

const timeout = (fallback: number, description: string) =>
  z.int().min(0).max(86_400_000).default(fallback).describe(`${description} 0: no limit.`);

const TimeoutsBody = z
  .strictObject({
    connect_ms: timeout(DEFAULT_TIMEOUTS.connectMs, "To an open connection, TLS included."),
    headers_ms: timeout(DEFAULT_TIMEOUTS.headersMs, "From the request sent to the header of the response."),
    idle_ms: timeout(DEFAULT_TIMEOUTS.idleMs, "Between two pieces of a body, either way."),
    total_ms: timeout(DEFAULT_TIMEOUTS.totalMs, "From admission to the end of the response."),
  })
  .meta({ id: "Timeouts" });

/** Upper case, without repetition; never TRACE or CONNECT. */
export const MethodList = z
  .array(
    z
      .string()
      .regex(TOKEN, "not a method")
      .transform((method) => method.toUpperCase())
      .refine((method) => method !== "TRACE" && method !== "CONNECT", "TRACE and CONNECT are never forwarded"),
  )
  .min(1, "an empty list would allow nothing: leave it out to allow all")
  .max(32);

export const PathList = z
  .array(
    z.string().refine(isPathPattern, "not a path pattern: begin with /; * stands for characters but /, ** for any"),
  )
  .min(1, "an empty list would allow nothing: leave it out to allow all")
  .max(64);

const settings = {
  methods: MethodList.nullable().default(null).describe("Methods that are forwarded; null: all but TRACE and CONNECT."),
  paths: PathList.nullable().default(null).describe("Patterns of paths below the endpoint; null: all."),
  timeouts: TimeoutsBody.prefault({}),
  http2: z
    .enum(["auto", "off", "prior_knowledge"])
    .default("auto")
    .describe("`auto` negotiates HTTP/2 over TLS; `prior_knowledge` is HTTP/2 without TLS."),
  allow_addresses: z
    .array(z.string().refine(isAllowEntry, "use loopback, private, link_local, an address or a CIDR block"))
    .max(64)
    .default([])
    .describe("Internal address ranges that the upstream may be in. All are refused otherwise."),
  allow_headers: z
    .array(
      z
        .string()
        .regex(TOKEN, "not a header name")
        .transform((name) => name.toLowerCase()),
    )
    .max(128)
    .nullable()
    .default(null)
    .describe("Request headers that pass; null: all that are not removed by rule."),
  forward_cookies: z.boolean().default(false),
  forward_client_address: z.boolean().default(false),
  allow_key_in_query: z.boolean().default(false).describe("Accept the virtual key as `?bifrost_key=`."),
  credential_echo: z
    .enum(["redact", "strict", "off"])
    .default("redact")
    .describe("What happens when a response contains the root key."),
  identity_assertion: z.boolean().default(false).describe("Send `X-Bifrost-Identity`, signed."),
  identity_audience: z.string().min(1).max(200).nullable().default(null),
};

const Endpoint = z
  .string({ error: "endpoint is required" })
  .refine((text) => parseEndpoint(text) !== null, {
    message:
      "invalid endpoint: an http or https URL without user, query, fragment, empty or dot segments, such as https://api.openai.com/v1",
  })
  .describe("Origin and, optionally, a base path that requests cannot leave.");

const input = {
  description: z
    .string()
    .max(500)
    .regex(/^\P{Cc}*$/u, "no control characters")
    .default("")
    .describe("Shown to people and, by `list_services`, to agents."),
  endpoint: Endpoint,
  root_key_id: z
    .string()
    .max(64)
    .nullable()
    .default(null)
    .transform((id) => (id === "" ? null : id))
    .describe("The root key that is put into requests; none if empty."),
  credential_header: z
    .string()
    .refine((name) => name === "" || isInjectableHeader(name), "not the name of a header that can hold a credential")
    .optional()
    .describe("Short form of `injection`: `Authorization` sends a bearer token, any other header the secret as it is."),
  injection: InjectionBody.optional().describe("Left out: header `X-API-Key`."),
  ...settings,
};

const oneForm = (body: { credential_header?: string | undefined; injection?: unknown }) =>
  body.credential_header === undefined || body.injection === undefined;
const ONE_FORM = { path: ["credential_header"], message: "give credential_header or injection, not both" };

export const NewService = z
  .strictObject({ id: resourceId("id is required"), ...input })
  .refine(oneForm, ONE_FORM)
  .meta({ id: "NewService" });

export const ServiceReplacement = z
  .strictObject({ id: z.string().optional().describe("If given, the id of the path."), ...input })
  .refine(oneForm, ONE_FORM)
  .meta({ id: "ServiceReplacement" });

export type ServiceInput = Omit<z.output<typeof ServiceReplacement>, "id">;

export const ServiceBody = z
  .object({
    id: z.string(),
    description: z.string(),
    endpoint: z.string(),
    root_key_id: z.string().describe("Empty without a root key, or where the caller may not see root keys."),
    credential_header: z.string().describe("Short form of `injection`; empty where it has none."),
    injection: InjectionBody,
    methods: z.array(z.string()).nullable(),
    paths: z.array(z.string()).nullable(),
    timeouts: TimeoutsBody,
    http2: z.enum(["auto", "off", "prior_knowledge"]),
    allow_addresses: z.array(z.string()),
    allow_headers: z.array(z.string()).nullable(),
    forward_cookies: z.boolean(),
    forward_client_address: z.boolean(),
    allow_key_in_query: z.boolean(),
    credential_echo: z.enum(["redact", "strict", "off"]),
    identity_assertion: z.boolean(),
    identity_audience: z.string().nullable(),
    managed_by: z.enum(["api", "config"]).describe("`config`: declared in the configuration file, read-only here."),
    disabled: z.boolean().describe("The configuration file no longer declares it: keys cannot use it."),
    created_at: timestamp,
    updated_at: timestamp,
  })
  .meta({ id: "Service" });

export type ServiceBody = z.input<typeof ServiceBody>;
