import { isAllowed } from "../access/authorize.ts";
import type { Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { mayUse } from "../services/access.ts";
import type { Service } from "../services/model.ts";
import { createServiceStore } from "../services/store.ts";
import type { Db } from "../storage/open-database.ts";
import type { ArgumentNames } from "./ceilings.ts";
import type { Grant, McpServerGrant } from "./model.ts";

/** A grant as it is asked for: the service by its public id. */
export type GrantRequest =
  | {
      readonly kind: "service";
      readonly service: string;
      readonly methods: readonly string[] | null;
      readonly paths: readonly string[] | null;
    }
  | McpServerGrant;

/**
 * Turns grants as asked for into grants of what exists. A service of another organization, one that the caller
 * may not use and one that the configuration no longer declares all answer like one that does not exist. MCP
 * servers are not limited per caller, hence only admins grant them. Call in the transaction that writes the key.
 *
 * @throws GatewayError `service.not_found`, `auth.forbidden`, `request.invalid` for a target that is named twice
 */
export async function resolveGrants(
  db: Db,
  principal: Principal,
  requests: readonly GrantRequest[],
  names: ArgumentNames,
): Promise<Grant[]> {
  const services = await lockServices(db, principal.orgUid, requests);
  const grants: Grant[] = [];
  const seen = new Set<string>();
  for (const [index, request] of requests.entries()) {
    const path = names.target(index);
    const target = request.kind === "service" ? request.service : request.mcpServer;
    if (seen.has(`${request.kind}/${target}`)) {
      throw new GatewayError("request.invalid", {
        message: `${path}: granted twice`,
        fields: [{ path, message: "granted twice: put methods and paths into one grant" }],
      });
    }
    seen.add(`${request.kind}/${target}`);
    if (request.kind === "mcp_server") {
      assertMayGrantServers(principal, path);
      grants.push(request);
      continue;
    }
    const service = services.get(request.service);
    if (!service || service.disabledAtMs !== null || !mayUse(principal, service.uid)) {
      const message = "no such service, or not one that this caller may use";
      throw new GatewayError("service.not_found", { fields: [{ path, message }] });
    }
    const { methods, paths } = request;
    grants.push({ kind: "service", serviceUid: service.uid, serviceId: service.id, methods, paths });
  }
  return grants;
}

/**
 * The services, held until the transaction ends: none is deleted between this look and the commit. Before any
 * other lock and in one order, so that parallel transactions cannot wait for each other in a circle.
 */
async function lockServices(trx: Db, orgUid: string, requests: readonly GrantRequest[]): Promise<Map<string, Service>> {
  const store = createServiceStore(trx);
  const ids = new Set(requests.flatMap((request) => (request.kind === "service" ? [request.service] : [])));
  const found = new Map<string, Service>();
  for (const id of [...ids].sort()) {
    const service = await store.lock(orgUid, id);
    if (service) found.set(id, service);
  }
  return found;
}

function assertMayGrantServers(principal: Principal, path: string): void {
  if (isAllowed(principal, "services:write")) return;
  throw new GatewayError("auth.forbidden", {
    message: "forbidden: granting an MCP server needs an owner or admin",
    fields: [{ path, message: "needs an owner or admin" }],
  });
}
