import { z } from "zod";
import type { Principal, ServiceAccountPrincipal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { publicRoute, type RequestContext, type Route } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import { type Authenticator, bearerOf, type GuessThrottle, refuseThrottled } from "./authenticate.ts";

import { createServiceAccountStore } from "./service-account-store.ts";

/** What a service account asks for; ceilings are checked, names resolved. */
export interface ServiceTokenOrder {
  readonly account: ServiceAccountPrincipal;
  readonly service: { readonly uid: string; readonly id: string };
  readonly ttlSeconds: number;
  /** Requests per minute. */
  readonly rateLimit: number;
  readonly scope: "read" | "write";
}

/** Issues the key, owned by the account and with source `service_account`, and audits it. */
export type IssueServiceToken = (
  order: ServiceTokenOrder,
  request: RequestContext,
) => Promise<{ readonly id: string; readonly secret: string; readonly expiresAtMs: number }>;

const DEFAULT_TTL_SECONDS = 3_600;
const DEFAULT_RATE_LIMIT = 60;

const ServiceTokenRequest = z
  .strictObject({
    service: z.string({ error: "service is required" }).min(1, "service is required").max(64),
    ttl_seconds: z.int().max(315_360_000).optional().describe("Absent, 0 or less: 3600, or the account's ceiling."),
    rate_limit: z.int().max(1_000_000).optional().describe("Per minute. Absent, 0 or less: 60, or the ceiling."),
    scope: z.enum(["read", "write"]).optional().describe("Default: the most that the account may have."),
  })
  .meta({ id: "ServiceTokenRequest" });

const ServiceToken = z
  .object({
    id: z.string(),
    key: z.string().describe("The virtual key. Shown once."),
    expires_at: timestamp,
  })
  .meta({ id: "ServiceToken" });

/** A service account gets itself a virtual key: `X-Service-Key`, or the key as Bearer. */
export function serviceTokenRoute(deps: {
  readonly db: Db;
  readonly authenticator: Authenticator;
  readonly throttle: GuessThrottle;
  readonly issue: IssueServiceToken;
}): Route {
  return publicRoute({
    method: "POST",
    path: "/v1/service-token",
    operationId: "issueServiceToken",
    tag: "Service accounts",
    summary: "Issue a virtual key to the service account whose API key the request carries.",
    description: "Authenticates with the header `X-Service-Key`, or `Authorization: Bearer`, not with a session.",
    body: ServiceTokenRequest,
    replies: { 200: ServiceToken },
    errors: ["auth.required", "auth.throttled", "auth.forbidden", "ceiling.exceeded", "service.not_found"],
    async handle({ body, request }) {
      const account = await accountOf(deps, request);
      const service = await allowedService(deps.db, account, body.service);
      const issued = await deps.issue(
        {
          account,
          service,
          ttlSeconds: bounded("ttl_seconds", body.ttl_seconds, DEFAULT_TTL_SECONDS, account.maxTtlSeconds),
          rateLimit: bounded("rate_limit", body.rate_limit, DEFAULT_RATE_LIMIT, account.maxRateLimit),
          scope: scopeOf(body.scope, account),
        },
        request,
      );
      return {
        status: 200,
        body: { id: issued.id, key: issued.secret, expires_at: toIso(issued.expiresAtMs) },
      };
    },
  });
}

async function accountOf(
  { authenticator, throttle }: { authenticator: Authenticator; throttle: GuessThrottle },
  request: RequestContext,
): Promise<ServiceAccountPrincipal> {
  refuseThrottled(throttle, request.clientAddress);
  const secret = request.header("x-service-key") ?? bearerOf(request.header("authorization"));
  if (secret === undefined) throw new GatewayError("auth.required", { message: "missing X-Service-Key" });
  const refused = (cause: unknown) => new GatewayError("auth.required", { message: "invalid service key", cause });
  let principal: Principal;
  try {
    principal = await authenticator.authenticateCredential(secret);
  } catch (failure) {
    if (!(failure instanceof GatewayError) || failure.code === "internal") throw failure;
    throttle.recordFailure(request.clientAddress);
    throw refused(failure);
  }
  if (principal.kind !== "service_account") throw refused(undefined);
  return principal;
}

/** A service that the account may not use and one that does not exist answer the same, unless it may use all. */
async function allowedService(db: Db, account: ServiceAccountPrincipal, id: string) {
  const [service] = await createServiceAccountStore(db).findServices(account.orgUid, [id]);
  if (account.services !== "all" && (!service || !account.services.includes(service.uid))) {
    throw new GatewayError("auth.forbidden", { message: "service not allowed for this service account" });
  }
  if (!service) throw new GatewayError("service.not_found");
  return service;
}

/** What was asked for, refused above the ceiling; a default is lowered to it instead. */
function bounded(name: string, asked: number | undefined, fallback: number, ceiling: number | null): number {
  const limit = ceiling ?? Number.POSITIVE_INFINITY;
  if (asked === undefined || asked <= 0) return Math.min(fallback, limit);
  if (asked <= limit) return asked;
  throw new GatewayError("ceiling.exceeded", {
    message: `${name} is above this service account's ceiling of ${limit}`,
  });
}

function scopeOf(asked: "read" | "write" | undefined, account: ServiceAccountPrincipal): "read" | "write" {
  if (asked === "write" && account.maxScope === "read") {
    throw new GatewayError("ceiling.exceeded", { message: "scope is above this service account's ceiling of read" });
  }
  return asked ?? account.maxScope;
}
