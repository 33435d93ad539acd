import { z } from "zod";
import { isAllowEntry } from "../core/address-range.ts";
import { CALLER_ID } from "../core/ids.ts";
import { isPathPattern } from "../core/path-pattern.ts";
import { isOrigin, parseEndpoint } from "../core/upstream-address.ts";
import { HeaderName, SECRET_TAKES, SecretSource, setting, TIMEOUT_TAKES, Timeout, TOKEN } from "./setting.ts";

const VISIBLE = /^[\x20-\x7e]*$/;

/** What names of services and credentials look like. */
export const Id = z.string().regex(CALLER_ID, { error: "not an id" });

const Org = setting(Id.optional(), {
  takes: "the id of an organization",
  description: "Organization it belongs to.",
  otherwise: "the first organization",
});

const Injection = z.discriminatedUnion(
  "type",
  [
    z.strictObject({
      type: z.literal("header"),
      name: HeaderName,
      prefix: z.string().regex(VISIBLE, { error: "has control characters" }).default(""),
      template: z
        .string()
        .regex(VISIBLE, { error: "has control characters" })
        .refine((text) => text.includes("{secret}"), { error: "has no {secret}" })
        .optional(),
    }),
    z.strictObject({ type: z.literal("bearer") }),
    z.strictObject({
      type: z.literal("basic"),
      username: z
        .string()
        .regex(/^[^:\p{Cc}]*$/u)
        .optional(),
    }),
    z.strictObject({ type: z.literal("query"), name: z.string().regex(/^[A-Za-z0-9._~-]{1,64}$/) }),
  ],
  { error: "unknown type of injection" },
);

const timeout = (fallback: string, description: string) =>
  setting(Timeout.prefault(fallback), { takes: TIMEOUT_TAKES, description });

const flag = (description: string, risk?: string) =>
  setting(z.boolean().default(false), { takes: "true or false", description, ...(risk ? { risk } : {}) });

/** A root key. Its secret is never in the file. */
export const CredentialSchema = z.strictObject({
  value: setting(SecretSource, {
    takes: SECRET_TAKES,
    description: "Where the secret is read from, at start and at each reload.",
    secret: true,
  }),
  origins: setting(z.array(z.string().refine(isOrigin, { error: "not an origin" })).default([]), {
    takes: 'a list of origins such as ["https://api.openai.com"]',
    description: "Origins it may be sent to, besides those of the declared services that use it.",
  }),
  org: Org,
});

/** An upstream API. */
export const ServiceSchema = z.strictObject({
  endpoint: setting(
    z.string().refine((text) => parseEndpoint(text) !== null, { error: "not a usable address" }),
    {
      takes: 'an http or https URL such as "https://api.openai.com/v1", without user, query, fragment or dot segments',
      description: "Where requests go: origin and, optionally, a base path that they cannot leave.",
    },
  ),
  description: setting(z.string().max(500, { error: "longer than 500 characters" }).default(""), {
    takes: "up to 500 characters",
    description: "Shown to people and, by `list_services`, to agents.",
  }),
  credential: setting(
    z.union([Id, ...SecretSource.options], { error: "neither a credential's name nor a place of a secret" }).optional(),
    {
      takes: `the name of a declared credential, or ${SECRET_TAKES}`,
      description: "What is put into each request. Without it nothing is.",
      secret: true,
    },
  ),
  org: Org,
  injection: setting(Injection.prefault({ type: "header", name: "X-API-Key" }), {
    takes:
      '{ type = "bearer" }, { type = "header", name, prefix?, template? }, { type = "basic", username? } or { type = "query", name }',
    description: "How the credential is put into the request; `{secret}` in a template stands for it.",
    otherwise: '{ type = "header", name = "X-API-Key" }',
  }),
  methods: setting(
    z
      .array(
        z
          .string()
          .regex(TOKEN, { error: "not a method" })
          .transform((method) => method.toUpperCase()),
      )
      .min(1, { error: "empty: would allow nothing" })
      .refine((list) => !list.includes("TRACE") && !list.includes("CONNECT"), {
        error: "TRACE and CONNECT are never forwarded",
      })
      .optional(),
    {
      takes: 'a list of methods such as ["GET", "POST"]',
      description: "Methods that are forwarded.",
      otherwise: "all but TRACE and CONNECT",
    },
  ),
  paths: setting(
    z
      .array(z.string().refine(isPathPattern, { error: "not a path pattern" }))
      .min(1, { error: "empty: would allow nothing" })
      .optional(),
    {
      takes: 'a list of patterns such as ["/chat/*", "/models/**"]: * stands for characters but /, ** for any',
      description: "Paths below the endpoint that are forwarded.",
      otherwise: "all",
    },
  ),
  timeouts: z
    .strictObject({
      connect: timeout("10s", "To an open connection, TLS included."),
      headers: timeout("5m", "From the request sent to the header of the response."),
      idle: timeout("5m", "Between two pieces of a body, either way."),
      total: timeout("none", "From admission to the end of the response."),
    })
    .prefault({}),
  http2: setting(z.enum(["auto", "off", "prior_knowledge"]).default("auto"), {
    takes: '"auto", "off" or "prior_knowledge"',
    description: "`auto` negotiates HTTP/2 over TLS; `prior_knowledge` is HTTP/2 without TLS.",
  }),
  allow_addresses: setting(z.array(z.string().refine(isAllowEntry, { error: "not an address range" })).default([]), {
    takes: 'a list of "loopback", "private", "link_local" and CIDR blocks such as "10.1.0.0/16"',
    description: "Internal address ranges that the upstream may be in; all of them are refused otherwise.",
    risk: "`link_local` opens the cloud metadata address to whoever can name it as an endpoint.",
  }),
  allow_headers: setting(
    z
      .array(
        z
          .string()
          .regex(TOKEN, { error: "not a header name" })
          .transform((name) => name.toLowerCase()),
      )
      .optional(),
    {
      takes: 'a list of header names such as ["accept", "openai-beta"]',
      description: "Request headers that pass.",
      otherwise: "all that are not removed by rule",
    },
  ),
  forward_cookies: flag("Pass `Cookie` up and `Set-Cookie` (without Domain) down."),
  forward_client_address: flag(
    "Send `X-Forwarded-For`, `-Host` and `-Proto`.",
    "Tells the upstream who the clients are.",
  ),
  allow_key_in_query: flag(
    "Accept the virtual key in the query parameter `bifrost_key`.",
    "Addresses end up in logs and histories; keys with them.",
  ),
  credential_echo: setting(z.enum(["redact", "strict", "off"]).default("redact"), {
    takes: '"redact", "strict" or "off"',
    description:
      "When a response contains the injected secret: `redact` masks it, `strict` also refuses compressed bodies, `off` relays.",
    risk: "`off` gives the credential to an agent that finds an endpoint which echoes requests.",
  }),
  identity_assertion: flag("Send `X-Bifrost-Identity`, a short-lived signed statement of who is calling."),
  identity_audience: setting(z.string().min(1, { error: "empty" }).max(200).optional(), {
    takes: "up to 200 characters",
    description: "Audience of that statement.",
    otherwise: "the origin of the endpoint",
  }),
});
