import type { Principal } from "../access/principal.ts";

/** Uids of the services that a principal may see and use; `"all"` for every service of its organization. */
export function usableServices(principal: Principal): "all" | readonly string[] {
  switch (principal.kind) {
    case "user":
      return "all";
    case "service_account":
    case "virtual_key":
      return principal.services;
    // Services are reached with virtual keys, and these have none.
    case "gateway_agent":
    case "local":
      return [];
  }
}

/** Whether a principal may use a service of its own organization. */
export function mayUse(principal: Principal, serviceUid: string): boolean {
  const usable = usableServices(principal);
  return usable === "all" || usable.includes(serviceUid);
}
