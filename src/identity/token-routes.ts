import { z } from "zod";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { type RequestContext, route, type Route } from "../http/route.ts";
import type { UserPrincipal } from "../access/principal.ts";
import type { Db } from "../storage/open-database.ts";
import { asUser, type IdentityDeps } from "./model.ts";
import { sessionTokenOnce, Ttl } from "./schemas.ts";
import { type IssuedToken, issueSession, tokenTtlMs } from "./sessions.ts";
import { createSessionStore } from "./session-store.ts";

const TokenRequest = z.strictObject({ ttl: Ttl }).meta({ id: "TokenRequest" });
const SessionToken = z.object({ token: sessionTokenOnce, expires_at: timestamp }).meta({ id: "SessionToken" });

/** Log-in with an API key, refresh and log-out. */
export function tokenRoutes(deps: IdentityDeps): Route[] {
  const { db, clock } = deps;

  async function audit(trx: Db, user: UserPrincipal, request: RequestContext, action: string, sessionUid: string) {
    await createAuditLog(trx, deps.keyring, clock).record({
      ...byPrincipal(user, request),
      action,
      target: { kind: "session", id: sessionUid },
    });
  }

  return [
    route({
      method: "POST",
      path: "/v1/token",
      operationId: "logIn",
      tag: "Sessions",
      summary: "Exchange an API key for a session token.",
      description:
        "With a session token this is refused: sessions are prolonged by refreshing, which their maximum age bounds.",
      permission: "self:read",
      body: TokenRequest,
      bodyOptional: true,
      replies: { 201: SessionToken },
      async handle({ body, principal, request }) {
        const user = asUser(principal);
        if (user.sessionUid !== null) {
          throw new GatewayError("auth.forbidden", {
            message: "forbidden: this needs an API key, not a session token",
          });
        }
        const ttlMs = tokenTtlMs(body.ttl, deps.sessions);
        const issued = await db.transaction().execute(async (trx) => {
          const token = await issueSession(trx, deps, { orgUid: user.orgUid, userUid: user.uid, ttlMs });
          await audit(trx, user, request, "session.create", token.session.uid);
          return token;
        });
        return { status: 201, body: toBody(issued) };
      },
    }),

    route({
      method: "POST",
      path: "/v1/token/refresh",
      operationId: "refreshToken",
      tag: "Sessions",
      summary: "Replace the session token of this request; the old one ends at once.",
      permission: "self:read",
      body: TokenRequest,
      bodyOptional: true,
      replies: { 200: SessionToken },
      async handle({ body, principal, request }) {
        const user = asUser(principal);
        const sessionUid = requireSession(user);
        const ttlMs = tokenTtlMs(body.ttl, deps.sessions);
        const issued = await db.transaction().execute(async (trx) => {
          const sessions = createSessionStore(trx);
          const old = await sessions.findByUid(sessionUid);
          // Of two refreshes of one token one gets a new token; the other's is over.
          if (!old || !(await sessions.revoke(sessionUid, clock.now()))) throw new GatewayError("auth.required");
          const token = await issueSession(trx, deps, {
            orgUid: old.orgUid,
            userUid: old.userUid,
            ttlMs,
            startedAtMs: old.startedAtMs,
          });
          await audit(trx, user, request, "session.refresh", token.session.uid);
          return token;
        });
        return { status: 200, body: toBody(issued) };
      },
    }),

    route({
      method: "DELETE",
      path: "/v1/token",
      operationId: "logOut",
      tag: "Sessions",
      summary: "End the session of this request.",
      permission: "self:read",
      replies: { 204: null },
      async handle({ principal, request }) {
        const user = asUser(principal);
        const sessionUid = requireSession(user);
        await db.transaction().execute(async (trx) => {
          await createSessionStore(trx).revoke(sessionUid, clock.now());
          await audit(trx, user, request, "session.end", sessionUid);
        });
        deps.changes.publish({ kind: "principal", uid: user.uid });
        return { status: 204, body: null };
      },
    }),
  ];
}

function requireSession(user: UserPrincipal): string {
  if (user.sessionUid !== null) return user.sessionUid;
  throw new GatewayError("auth.required", { message: "unauthorized: this needs a session token, not an API key" });
}

function toBody({ token, session }: IssuedToken) {
  return { token, expires_at: toIso(session.expiresAtMs) };
}
