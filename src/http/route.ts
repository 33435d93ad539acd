import type { z } from "zod";
import type { ErrorCode } from "../core/errors.ts";
import type { Permission } from "../access/authorize.ts";
import type { Principal } from "../access/principal.ts";

type ObjectSchema = z.ZodObject;

/** Facts of the request that handlers and the audit trail need. Nothing here is a secret. */
export interface RequestContext {
  readonly requestId: string;
  /** The peer, or what a trusted proxy says it is: http/client-address.ts. */
  readonly clientAddress: string;
  /** Scheme and host under which the client reached the gateway, such as `https://gw.example.com`. */
  readonly publicUrl: string;
  /** A header of the request by lower-case name; the first one if it was repeated. */
  header(name: string): string | undefined;
}

export interface Reply<Body> {
  readonly status: number;
  readonly body: Body;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Who may call a route. `public` routes get no principal. For the others `org` says which organization
 * the caller must be a member of: the one of the credential (or of `X-Org-ID`), or, with `path`, the one
 * that the path parameter `id` names.
 */
export type Access =
  | { readonly kind: "public" }
  | { readonly kind: "permission"; readonly permission: Permission; readonly org?: "credential" | "path" };

/** A management route as data: it feeds the server, OpenAPI and the test that calls every route as everyone. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With `{name}` for parameters, as OpenAPI writes it. */
  readonly path: string;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly access: Access;
  /** The route honours `Idempotency-Key`: a repeated request gets the first one's reply. */
  readonly idempotent: boolean;
  readonly params: ObjectSchema | null;
  readonly query: ObjectSchema | null;
  readonly body: z.ZodType | null;
  /** A request without a body is read as `{}`. */
  readonly bodyOptional: boolean;
  /** By status; null means no body. */
  readonly replies: Readonly<Record<number, z.ZodType | null>>;
  readonly errors: readonly ErrorCode[];
  handle(input: {
    params: unknown;
    query: unknown;
    body: unknown;
    principal: Principal | null;
    request: RequestContext;
  }): Promise<Reply<unknown>>;
}

type Parsed<S> = S extends z.ZodType ? z.output<S> : undefined;
type ReplyBody<R> = { [K in keyof R]: R[K] extends z.ZodType ? z.input<R[K]> : null }[keyof R];

interface RouteSpec<P, Q, B, R> {
  readonly method: Route["method"];
  readonly path: string;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly idempotent?: boolean;
  readonly bodyOptional?: boolean;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly replies: R;
  readonly errors?: readonly ErrorCode[];
}

interface Input<P, Q, B> {
  readonly params: Parsed<P>;
  readonly query: Parsed<Q>;
  readonly body: Parsed<B>;
  readonly request: RequestContext;
}

/**
 * Declares a route that needs a permission. `permission` is required, so an unprotected route is a
 * {@link publicRoute}, visibly.
 */
export function route<
  P extends ObjectSchema | undefined = undefined,
  Q extends ObjectSchema | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  R extends Readonly<Record<number, z.ZodType | null>> = Readonly<Record<number, z.ZodType | null>>,
>(
  spec: RouteSpec<P, Q, B, R> & {
    readonly permission: Permission;
    readonly org?: "credential" | "path";
    handle(input: Input<P, Q, B> & { readonly principal: Principal }): Promise<Reply<ReplyBody<R>>>;
  },
): Route {
  const { permission, org = "credential" } = spec;
  return complete(spec, { kind: "permission", permission, org });
}

/** Declares a route that anyone may call. */
export function publicRoute<
  P extends ObjectSchema | undefined = undefined,
  Q extends ObjectSchema | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  R extends Readonly<Record<number, z.ZodType | null>> = Readonly<Record<number, z.ZodType | null>>,
>(spec: RouteSpec<P, Q, B, R> & { handle(input: Input<P, Q, B>): Promise<Reply<ReplyBody<R>>> }): Route {
  return complete(spec, { kind: "public" });
}

function complete<P, Q, B, R>(
  spec: RouteSpec<P, Q, B, R> & { handle(input: never): Promise<Reply<unknown>> },
  access: Access,
): Route {
  return {
    method: spec.method,
    path: spec.path,
    operationId: spec.operationId,
    tag: spec.tag,
    summary: spec.summary,
    ...(spec.description === undefined ? {} : { description: spec.description }),
    access,
    idempotent: spec.idempotent ?? false,
    bodyOptional: spec.bodyOptional ?? false,
    params: (spec.params ?? null) as ObjectSchema | null,
    query: (spec.query ?? null) as ObjectSchema | null,
    body: (spec.body ?? null) as z.ZodType | null,
    replies: spec.replies as Route["replies"],
    errors: spec.errors ?? [],
    // The server parses with this route's own schemas before it calls: the types above hold.
    handle: (input) => spec.handle(input as never),
  };
}
