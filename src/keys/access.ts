import { isAllowed } from "../access/authorize.ts";
import type { Principal } from "../access/principal.ts";
import type { VirtualKey } from "./model.ts";

/** Whether a principal manages every key of its organization. Others manage those they own. */
export function managesAllKeys(principal: Principal): boolean {
  return principal.kind === "user" && principal.role !== "member";
}

/** Whose keys a principal may see, change and revoke: an owner's uid, or null for every owner of its organization. */
export function visibleOwner(principal: Principal): string | null {
  return managesAllKeys(principal) ? null : principal.uid;
}

/** Whether a principal may see, change and revoke a key. What it may not see answers like what does not exist. */
export function mayManage(principal: Principal, key: VirtualKey): boolean {
  if (key.orgUid !== principal.orgUid || !isAllowed(principal, "keys:write")) return false;
  return managesAllKeys(principal) || key.ownerUid === principal.uid;
}
