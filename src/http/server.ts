import { createHash } from "node:crypto";
import type { IncomingMessage, RequestListener } from "node:http";
import fastify, { type FastifyError, type FastifyReply, type FastifyRequest } from "fastify";
import { z } from "zod";
import { type FieldProblem, GatewayError, toGatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import type { Logger } from "../core/log.ts";
import { authorize } from "../access/authorize.ts";
import type { Principal } from "../access/principal.ts";
import type { ClientAddressOf } from "./client-address.ts";
import { createDocsListener, isDocsTarget } from "./docs.ts";
import { describeRoutes } from "./openapi.ts";
import { renderHttpError } from "./render-error.ts";
import type { Reply, RequestContext, Route } from "./route.ts";

const MAX_BODY_BYTES = 1024 * 1024;

export interface ManagementDeps {
  readonly routes: readonly Route[];
  readonly version: string;
  readonly log: Logger;
  readonly clientAddress: ClientAddressOf;
  /** Null: the URL is taken from the request's Host header. */
  readonly publicUrl: string | null;
  /** Who the request is, in the org that `orgId` names, else in the credential's own. @throws GatewayError 401, 404, 429 */
  authenticate(request: { context: RequestContext; orgId: string | null }): Promise<Principal>;
  /** Runs `work` once per Idempotency-Key and principal; a repetition gets the stored reply. */
  runOnce(
    request: { principal: Principal; idempotencyKey: string; fingerprint: string },
    work: () => Promise<Reply<unknown>>,
  ): Promise<Reply<unknown>>;
  /** A management request that was refused for want of permission. Never throws. */
  onDenied(denial: { principal: Principal; route: Route; context: RequestContext }): void;
}

/**
 * The management API as a plain request listener. The only file that knows the framework. It parses
 * strictly, authenticates, authorises, and only then calls the route; every failure ends in one place.
 */
export async function createManagementListener(
  deps: ManagementDeps,
): Promise<{ listener: RequestListener; openapi(): Record<string, unknown>; close(): Promise<void> }> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    logger: false,
    // Our own parser of the id: a malformed one from the client is replaced, not echoed.
    genReqId: (req) => requestIdFrom(firstHeader(req, "x-request-id")),
    requestIdHeader: false,
    routerOptions: { maxParamLength: 128 },
    exposeHeadRoutes: true,
    // A path that cannot be decoded fails before any handler; the framework's own answer has another form.
    frameworkErrors: (error, request, reply) => void sendError(deps, error, request as never, reply as never),
  });
  const describe = () => describeRoutes(deps.routes, deps.version);
  const docs = createDocsListener(describe);

  app.setErrorHandler((error: FastifyError, request, reply) => sendError(deps, error, request, reply));
  app.setNotFoundHandler((request, reply) => sendError(deps, notFound(deps.routes, request), request, reply));
  app.removeContentTypeParser("text/plain");
  // zod parses in `serve`; Fastify itself validates and serializes nothing.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));

  for (const route of deps.routes) {
    app.route({
      method: route.method,
      url: route.path.replace(/\{(\w+)\}/g, ":$1"),
      handler: (request, reply) => serve(deps, route, request, reply),
    });
  }
  await app.ready();
  return {
    listener: (req, res) => (isDocsTarget(req.url ?? "") ? docs.listener(req, res) : app.routing(req, res)),
    openapi: describe,
    async close() {
      await docs.close();
      await app.close();
    },
  };
}

async function serve(
  deps: ManagementDeps,
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const context = contextOf(deps, request);
  const principal = await admit(deps, route, request, context);
  const params = parse(route.params, request.params, "");
  const query = parse(route.query, request.query, "");
  const body = parseBody(route, request);
  const work = async () => {
    try {
      return await route.handle({ params, query, body, principal, request: context });
    } catch (refusal) {
      // Rules that need more than the role (whose key, whose rank) refuse here.
      if (principal && refusal instanceof GatewayError && refusal.status === 403) {
        deps.onDenied({ principal, route, context });
      }
      throw refusal;
    }
  };

  const idempotencyKey = route.idempotent ? context.header("idempotency-key") : undefined;
  const result =
    idempotencyKey === undefined || principal === null
      ? await work()
      : await deps.runOnce(
          { principal, idempotencyKey: checkIdempotencyKey(idempotencyKey), fingerprint: fingerprint(route, request) },
          work,
        );

  reply
    .code(result.status)
    .headers({ "x-request-id": context.requestId, "cache-control": "no-store", ...withNextLink(result, request) });
  if (result.body === null) return reply.send();
  return reply
    .type(typeof result.body === "string" ? "text/plain; charset=utf-8" : "application/json; charset=utf-8")
    .send(result.body);
}

/** RFC 8288: where there is a next page, the same list with its cursor. Relative, so that no Host header is believed. */
function withNextLink({ headers = {} }: Reply<unknown>, request: FastifyRequest): Readonly<Record<string, string>> {
  const cursor = headers["x-next-cursor"];
  if (cursor === undefined) return headers;
  const { pathname, searchParams } = new URL(request.raw.url ?? "/", "http://gateway");
  searchParams.set("cursor", cursor);
  return { ...headers, link: `<${pathname}?${searchParams.toString()}>; rel="next"` };
}

async function admit(
  deps: ManagementDeps,
  route: Route,
  request: FastifyRequest,
  context: RequestContext,
): Promise<Principal | null> {
  if (route.access.kind === "public") return null;
  const { permission, org } = route.access;
  const orgId =
    org === "path" ? String((request.params as { id?: string }).id ?? "") : (context.header("x-org-id") ?? null);
  const principal = await deps.authenticate({ context, orgId });
  try {
    authorize(principal, permission);
  } catch (refusal) {
    deps.onDenied({ principal, route, context });
    throw refusal;
  }
  return principal;
}

function contextOf(deps: ManagementDeps, request: FastifyRequest): RequestContext {
  const host = request.headers.host ?? "localhost";
  return {
    requestId: request.id,
    clientAddress: deps.clientAddress(request.raw),
    publicUrl: deps.publicUrl ?? `http://${host}`,
    header: (name) => firstHeader(request.raw, name),
  };
}

function firstHeader(req: Pick<IncomingMessage, "headers">, name: string): string | undefined {
  const value = req.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function parseBody(route: Route, request: FastifyRequest): unknown {
  if (!route.body) return undefined;
  const given =
    request.body === undefined || request.body === null ? (route.bodyOptional ? {} : undefined) : request.body;
  if (given === undefined) {
    throw new GatewayError("request.invalid", { fields: [{ path: "", message: "a JSON body is required" }] });
  }
  return parse(route.body, given, "");
}

function parse(schema: z.ZodType | null, value: unknown, at: string): unknown {
  if (!schema) return undefined;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(result.error, at);
}

/** `error` is the first problem in words: the schema's own text where it has one, else the path and zod's. */
export function invalid(error: z.ZodError, at = ""): GatewayError {
  const fields: FieldProblem[] = error.issues.map((issue) => ({
    path: [at, ...issue.path.map(String)].filter((part) => part !== "").join("."),
    message: issue.message,
  }));
  const [first] = fields;
  const generic = first !== undefined && /^(Invalid|Too|Unrecognized)/.test(first.message);
  const message =
    first === undefined
      ? undefined
      : generic
        ? `invalid request: ${first.path === "" ? "body" : first.path}: ${first.message}`
        : first.message;
  return new GatewayError("request.invalid", { ...(message === undefined ? {} : { message }), fields });
}

function checkIdempotencyKey(key: string): string {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new GatewayError("request.invalid", {
    message: "invalid Idempotency-Key",
    fields: [{ path: "Idempotency-Key", message: "1 to 255 visible ASCII characters" }],
  });
}

/** Of everything that makes two requests the same; hashed, since bodies may carry secrets. */
function fingerprint(route: Route, request: FastifyRequest): string {
  const parts = JSON.stringify([route.operationId, request.params, request.query, request.body ?? null]);
  return createHash("sha256").update(parts).digest("base64url");
}

function notFound(routes: readonly Route[], request: FastifyRequest): GatewayError {
  const path = (request.raw.url ?? "").split("?")[0] ?? "";
  const methods = routes.filter((route) => pathMatches(route.path, path)).map((route) => route.method);
  if (methods.length === 0) return new GatewayError("request.not_found");
  return new GatewayError("request.method_not_allowed", { headers: { allow: [...new Set(methods)].join(", ") } });
}

function pathMatches(template: string, path: string): boolean {
  const wanted = template.split("/");
  const given = path.split("/");
  return (
    wanted.length === given.length &&
    wanted.every((part, i) => (part.startsWith("{") ? given[i] !== "" : part === given[i]))
  );
}

function sendError(
  deps: ManagementDeps,
  thrown: FastifyError | GatewayError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = fromFramework(thrown);
  if (error.code === "internal")
    deps.log.error({ err: error.cause ?? error, requestId: request.id }, "management request failed");
  const { status, headers, body } = renderHttpError(error, request.id);
  // Already JSON: the serializer would quote it once more.
  return reply
    .code(status)
    .headers(headers)
    .serializer((text) => text as string)
    .send(body);
}

/** Fastify's own refusals (bad JSON, too large, wrong content type) in our words. */
function fromFramework(thrown: FastifyError | GatewayError): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  switch (thrown.statusCode) {
    case 400: {
      const message = thrown.code === "FST_ERR_BAD_URL" ? "the path is not validly percent-encoded" : "not valid JSON";
      return new GatewayError("request.invalid", { fields: [{ path: "", message }], cause: thrown });
    }
    case 413:
      return new GatewayError("request.too_large", { cause: thrown });
    case 415:
      return new GatewayError("request.unsupported_media_type", { cause: thrown });
    // A path parameter longer than any id: there is no such thing.
    case 414:
    case 404:
      return new GatewayError("request.not_found", { cause: thrown });
    default:
      return toGatewayError(thrown);
  }
}
