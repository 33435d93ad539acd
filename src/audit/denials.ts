import type { Principal } from "../access/principal.ts";
import type { Logger } from "../core/log.ts";
import type { RequestContext, Route } from "../http/route.ts";
import { type AuditLog, byPrincipal } from "./log.ts";

/** Entries that may wait to be written; a caller that is refused faster than this is only counted. */
const MAX_PENDING = 200;

/**
 * Puts refused management requests on the trail, after the reply and without holding it up. Bounded: in
 * a flood of refusals the surplus goes to the log as a count, so that it costs no unbounded memory.
 */
export function createDenialRecorder(deps: { readonly audit: AuditLog; readonly log: Logger }) {
  let pending = 0;
  let dropped = 0;
  let last: Promise<void> = Promise.resolve();

  return {
    /** Never throws and never rejects. */
    record({ principal, route, context }: { principal: Principal; route: Route; context: RequestContext }): void {
      if (pending >= MAX_PENDING) {
        dropped += 1;
        return;
      }
      pending += 1;
      last = last
        .then(() =>
          deps.audit.record({
            ...byPrincipal(principal, context),
            action: "access.denied",
            target: { kind: "operation", id: route.operationId },
            outcome: "denied",
            detail: route.access.kind === "permission" ? { permission: route.access.permission } : {},
          }),
        )
        .catch((err: unknown) => deps.log.error({ err }, "a refused request could not be put on the audit trail"))
        .finally(() => {
          pending -= 1;
          if (pending > 0 || dropped === 0) return;
          deps.log.warn({ dropped }, "refused requests were left out of the audit trail: too many at once");
          dropped = 0;
        });
    },
    /** Resolves once all that was recorded so far is written. */
    flush: () => last,
  };
}
