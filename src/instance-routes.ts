import { z } from "zod";
import { GatewayError } from "./core/errors.ts";
import type { Metrics } from "./core/metrics.ts";
import { publicRoute, type Reply, type Route, route } from "./http/route.ts";
import { DEFAULT_ORG_ID } from "./identity/model.ts";
import type { PublicJwk, SigningKeys } from "./proxy/signing-keys.ts";

export interface InstanceRouteDeps {
  readonly version: string;
  readonly signingKeys: Pick<SigningKeys, "published">;
  /** Null: metrics are off, and their route does not exist. */
  readonly metrics: Metrics | null;
  /** Serve metrics without a credential. */
  readonly metricsArePublic: boolean;
  /** Whether the database, and Redis where there is one, answer. */
  isReady(): Promise<boolean>;
}

const Jwk = z
  .object({ kty: z.string(), crv: z.string(), x: z.string(), kid: z.string(), alg: z.string(), use: z.string() })
  .meta({ id: "JsonWebKey" });

/** Routes about the instance itself: health, version, metrics, and the keys that verify identity assertions. */
export function instanceRoutes(deps: InstanceRouteDeps): Route[] {
  return [
    publicRoute({
      method: "GET",
      path: "/healthz",
      operationId: "isAlive",
      tag: "Instance",
      summary: "Liveness: the process answers. Looks at nothing else.",
      replies: { 200: z.string() },
      handle: () => Promise.resolve({ status: 200, body: "ok" }),
    }),
    publicRoute({
      method: "GET",
      path: "/readyz",
      operationId: "isReady",
      tag: "Instance",
      summary: "Readiness: the database, and Redis where there is one, answer. 503 else.",
      replies: { 200: z.string(), 503: z.string() },
      handle: async () =>
        (await deps.isReady()) ? { status: 200, body: "ready" } : { status: 503, body: "not ready" },
    }),
    publicRoute({
      method: "GET",
      path: "/version",
      operationId: "getVersion",
      tag: "Instance",
      summary: "The release that runs.",
      replies: { 200: z.object({ version: z.string() }).meta({ id: "Version" }) },
      handle: () => Promise.resolve({ status: 200, body: { version: deps.version } }),
    }),
    publicRoute({
      method: "GET",
      path: "/.well-known/jwks.json",
      operationId: "getSigningKeys",
      tag: "Instance",
      summary: "Public keys that verify `X-Bifrost-Identity` (RFC 7517).",
      replies: { 200: z.object({ keys: z.array(Jwk) }).meta({ id: "JsonWebKeySet" }) },
      async handle() {
        const keys: PublicJwk[] = [...(await deps.signingKeys.published())];
        return { status: 200, body: { keys }, headers: { "cache-control": "public, max-age=300" } };
      },
    }),
    ...(deps.metrics ? [metricsRoute(deps.metrics, deps.metricsArePublic)] : []),
  ];
}

function metricsRoute(metrics: Metrics, isPublic: boolean): Route {
  const spec = {
    method: "GET",
    path: "/metrics",
    operationId: "getMetrics",
    tag: "Instance",
    summary: "Prometheus metrics.",
    replies: { 200: z.string() },
  } as const;
  const render = async (): Promise<Reply<string>> => {
    const { contentType, text } = await metrics.render();
    return { status: 200, body: text, headers: { "content-type": contentType } };
  };
  if (isPublic) return publicRoute({ ...spec, handle: render });
  return route({
    ...spec,
    description:
      "Metrics are of the whole instance: only the organization `default`, whose owner set it up, may read them.",
    permission: "metrics:read",
    handle({ principal }) {
      if (principal.orgId === DEFAULT_ORG_ID) return render();
      throw new GatewayError("auth.forbidden", { message: "forbidden: metrics are for the organization default" });
    },
  });
}
