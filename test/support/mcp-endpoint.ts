import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { GatewayError } from "../../src/core/errors.ts";
import { keyStatus, makeKey, type VirtualKey } from "../../src/keys/model.ts";
import type { Principal } from "../../src/access/principal.ts";
import { createClientAddress } from "../../src/http/client-address.ts";
import { createMcpEndpoint } from "../../src/mcp/endpoint.ts";
import {
  DEFAULT_MCP_LIMITS,
  type FrontDoor,
  type KeyRequest,
  type McpDeps,
  type McpLimits,
} from "../../src/mcp/types.ts";

const ORG = { orgUid: "org_a", orgId: "acme" };
const OTHER_ORG = { orgUid: "org_b", orgId: "rival" };

/** Secrets of the callers that the endpoint below knows. */
export const CALLERS = {
  alice: { kind: "user", uid: "usr_alice", id: "usr_alice", name: "Alice", role: "member", sessionUid: null, ...ORG },
  bob: { kind: "user", uid: "usr_bob", id: "usr_bob", name: "Bob", role: "owner", sessionUid: null, ...ORG },
  mallory: {
    kind: "user",
    uid: "usr_mallory",
    id: "usr_mallory",
    name: "Mallory",
    role: "owner",
    sessionUid: null,
    ...OTHER_ORG,
  },
  robot: { kind: "virtual_key", uid: "vk_robot", id: "vk_robot", services: ["svc_echo"], ...ORG },
} as const satisfies Record<string, Principal>;

export type CallerName = keyof typeof CALLERS;

interface Options {
  readonly door?: FrontDoor;
  readonly limits?: Partial<McpLimits>;
  readonly issueKey?: (request: KeyRequest) => Promise<void>;
}

/**
 * The MCP endpoint on a real socket over an in-memory gateway: two organizations, one service each, a ceiling of a day. A
 * caller's name is its secret. Faults are injected through `issueKey`, which runs first.
 */
export async function startMcpEndpoint(options: Options = {}) {
  const keys: VirtualKey[] = [];
  const lines: string[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
  const deps = memoryDeps(keys, log, options);
  const loopback = ["localhost", "127.0.0.1", "[::1]"];
  const door = options.door ?? { allowedHosts: loopback, allowedOrigins: loopback };
  const endpoint = createMcpEndpoint(deps, door, { ...DEFAULT_MCP_LIMITS, ...options.limits });
  const server = createServer((request, response) => void endpoint.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    keys,
    /** What was logged, one JSON line each. */
    lines,
    endpoint,
    async [Symbol.asyncDispose]() {
      await endpoint.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function memoryDeps(keys: VirtualKey[], log: McpDeps["log"], options: Options): McpDeps {
  const serviceOf = (principal: Principal) => (principal.orgUid === "org_a" ? "echo" : "other");
  const ownedBy = (principal: Principal, agentId: string | null) =>
    keys.filter((key) => key.ownerUid === principal.uid && (agentId === null || key.agentId === agentId));
  return {
    version: "0.0.0-test",
    now: () => Date.now(),
    publicUrl: null,
    clientAddress: createClientAddress([]),
    log,
    async authenticate({ context }) {
      const token = (context.header("authorization") ?? "").replace(/^Bearer /, "");
      const principal: Principal | undefined = Object.hasOwn(CALLERS, token) ? CALLERS[token as CallerName] : undefined;
      if (!principal) throw new GatewayError("auth.required");
      return principal;
    },
    async listServices(principal) {
      return [{ name: serviceOf(principal), description: "Says what it hears", scopes: ["read", "write"] }];
    },
    async issueKey({ principal, agentId }, request) {
      await options.issueKey?.(request);
      if (principal.kind === "virtual_key") throw new GatewayError("key.cannot_issue");
      if (request.serviceName !== serviceOf(principal)) throw new GatewayError("service.not_found");
      if (request.ttlSeconds > 86_400)
        throw new GatewayError("ceiling.exceeded", { fields: [{ path: "ttl", message: "must be at most 86400" }] });
      const nowMs = Date.now();
      const order = {
        id: null,
        name: "",
        orgUid: principal.orgUid,
        scope: request.scope,
        rateLimit: request.rateLimit,
        maxUses: request.maxUses,
        maxConcurrency: null,
        expiresAtMs: nowMs + request.ttlSeconds * 1000,
        agentId,
        source: "mcp" as const,
        ownerKind: principal.kind,
        ownerUid: principal.uid,
        metadata: {},
        grants: [
          { kind: "service" as const, serviceUid: "svc", serviceId: request.serviceName, methods: null, paths: null },
        ],
      };
      const made = makeKey(order, (secret) => secret, nowMs);
      keys.push(made.key);
      return made;
    },
    async listKeys({ principal, agentId }, limit) {
      return ownedBy(principal, agentId).toReversed().slice(0, limit);
    },
    async revokeKey({ principal, agentId }, keyId) {
      const key = ownedBy(principal, agentId).find(({ id }) => id === keyId);
      if (!key) return false;
      if (keyStatus(key, Date.now()) !== "revoked") keys[keys.indexOf(key)] = { ...key, revokedAtMs: Date.now() };
      return true;
    },
  };
}
