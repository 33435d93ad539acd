import type { IncomingMessage, ServerResponse } from "node:http";
import type { Principal } from "../access/principal.ts";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import type { Logger } from "../core/log.ts";
import type { ClientAddressOf } from "../http/client-address.ts";
import type { Plane } from "../http/gateway-server.ts";
import { sendHttpError } from "../http/render-error.ts";
import { DEFAULT_ORG_ID } from "../identity/model.ts";
import { REVISIONS_2025 } from "../mcp-links/types.ts";
import type { McpServers, ServerStatus } from "../mcp-servers/types.ts";
import type { AuthenticateMcp } from "./authenticate.ts";
import { checkHostAndOrigin, readAgentId } from "./front-door.ts";
import type { OpenSession } from "./legacy/clients.ts";
import type { FrontDoor } from "./types.ts";
import { firstValue } from "../http/first-value.ts";

export interface ControlDeps {
  readonly version: string;
  readonly log: Logger;
  readonly door: FrontDoor;
  readonly clientAddress: ClientAddressOf;
  readonly authenticate: AuthenticateMcp;
  /** Agents of the configuration. With more than one, none of them alone may end the gateway for the others. */
  readonly agentCount: number;
  servers(): Promise<McpServers | null>;
  sessions(): Promise<readonly OpenSession[]>;
  /** Begins to stop the gateway; returns at once. */
  shutDown(): void;
  now(): number;
}

const PATHS: ReadonlySet<string> = new Set(["/health", "/close", "/reflect"]);

/**
 * `/health` tells anybody how the MCP servers are, by name and nothing more; it answers 200 also when one of them is not, as
 * existing users rely on: `?strict=true` makes that 503. `/close` stops the gateway, for its only configured agent, for whoever
 * reaches a gateway without authentication, and for owners of the first organization. `/reflect` shows who has sessions, by
 * public ids: to an owner or admin all of the organization, to everybody else what is theirs.
 */
export function createControlPlane(deps: ControlDeps): Plane {
  let isClosed = false;

  async function identify(req: IncomingMessage, requestId: string) {
    checkHostAndOrigin(req.headers, deps.door);
    const header = (name: string) => firstValue(req.headers[name]);
    const context = { requestId, clientAddress: deps.clientAddress(req), publicUrl: "", header };
    const identity = await deps.authenticate({ context, orgId: header("x-org-id") ?? null });
    readAgentId(req.headers);
    return identity.principal;
  }

  async function health(req: IncomingMessage, res: ServerResponse): Promise<void> {
    allowMethods(req, "GET", "HEAD");
    const servers = (await deps.servers())?.all() ?? [];
    const states = servers.map(({ declared, status }) => [declared.name, stateOf(status(), deps.now())] as const);
    const isHealthy = states.every(([, { status }]) => status !== "error");
    const isStrict = /[?&]strict=true(?:&|$)/.test(req.url ?? "");
    sendJson(res, isHealthy || !isStrict ? 200 : 503, {
      status: isHealthy ? "healthy" : "unhealthy",
      specVersion: REVISIONS_2025[0],
      gatewayVersion: deps.version,
      servers: Object.fromEntries(states),
    });
  }

  async function close(req: IncomingMessage, res: ServerResponse, requestId: string): Promise<void> {
    allowMethods(req, "POST");
    const principal = await identify(req, requestId);
    if (!mayClose(principal, deps.agentCount))
      throw new GatewayError("auth.forbidden", { message: "forbidden: this caller may not stop the gateway" });
    if (isClosed) throw new GatewayError("gateway.closed");
    isClosed = true;
    const running = ((await deps.servers())?.all() ?? []).filter(({ status }) => status().state === "running");
    deps.log.info({ principal: principal.id, requestId }, "stopping: /close was called");
    res.setHeader("connection", "close");
    res.once("close", () => deps.shutDown());
    sendJson(res, 200, {
      status: "closed",
      message: "Gateway shutdown initiated",
      serversTerminated: running.length,
    });
  }

  async function reflect(req: IncomingMessage, res: ServerResponse, requestId: string): Promise<void> {
    allowMethods(req, "GET");
    const principal = await identify(req, requestId);
    const seesAll = principal.kind === "user" && principal.role !== "member";
    const visible = (await deps.sessions()).filter(
      (session) =>
        session.principal.orgUid === principal.orgUid && (seesAll || session.principal.uid === principal.uid),
    );
    const agents: Record<string, { principal: string; sessions: number; secrecy: string[]; integrity: string[] }> = {};
    for (const { principal: holder, agentId } of visible) {
      const name = agentId === null ? holder.id : `${holder.id}/${agentId}`;
      // Labels come from guards, of which there is none.
      const entry = (agents[name] ??= { principal: holder.kind, sessions: 0, secrecy: [], integrity: [] });
      entry.sessions += 1;
    }
    sendJson(res, 200, { agents, mode: "off", timestamp: new Date(deps.now()).toISOString() });
  }

  return {
    owns: (url) => PATHS.has(url.split("?", 1)[0] ?? ""),
    async handle(req, res) {
      const requestId = requestIdFrom(firstValue(req.headers["x-request-id"]));
      res.setHeader("x-request-id", requestId);
      res.setHeader("cache-control", "no-store");
      try {
        const path = req.url?.split("?", 1)[0];
        if (path === "/health") await health(req, res);
        else if (path === "/close") await close(req, res, requestId);
        else await reflect(req, res, requestId);
      } catch (thrown) {
        const error = toGatewayError(thrown);
        if (error.code === "internal") deps.log.error({ err: thrown, requestId }, "control request failed");
        sendHttpError(res, error, requestId);
      }
      req.resume();
    },
  };
}

function mayClose(principal: Principal, agentCount: number): boolean {
  switch (principal.kind) {
    case "gateway_agent":
      return agentCount === 1;
    case "local":
      return true;
    case "user":
      return principal.role === "owner" && principal.orgId === DEFAULT_ORG_ID;
    case "service_account":
    case "virtual_key":
      return false;
  }
}

/** Names as existing users know them, and one for a server that never answered yet. */
function stateOf({ state, sinceMs }: ServerStatus, nowMs: number) {
  const uptime = state === "running" ? Math.max(0, Math.floor((nowMs - sinceMs) / 1_000)) : 0;
  return { status: state, uptime };
}

function allowMethods({ method }: IncomingMessage, ...allowed: readonly string[]): void {
  if (!allowed.includes(method ?? ""))
    throw new GatewayError("request.method_not_allowed", { headers: { allow: allowed.join(", ") } });
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  res.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  res.end(res.req.method === "HEAD" ? undefined : text);
}
