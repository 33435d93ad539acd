import type { Route } from "../http/route.ts";
import type { Authenticator, GuessThrottle } from "./authenticate.ts";
import { memberRoutes } from "./member-routes.ts";
import type { IdentityDeps } from "./model.ts";
import { orgRoutes } from "./org-routes.ts";
import { serviceAccountRoutes } from "./service-account-routes.ts";
import { type IssueServiceToken, serviceTokenRoute } from "./service-token-route.ts";
import { setupRoutes } from "./setup-routes.ts";
import { tokenRoutes } from "./token-routes.ts";
import { userRoutes } from "./user-routes.ts";

/** Every route about people, organizations, sessions and service accounts. */
export function identityRoutes(
  deps: IdentityDeps & {
    readonly authenticator: Authenticator;
    readonly throttle: GuessThrottle;
    /** From keys/, a higher layer: passed in. */
    readonly issueServiceToken: IssueServiceToken;
  },
): Route[] {
  return [
    ...setupRoutes(deps, deps.throttle),
    ...tokenRoutes(deps),
    ...userRoutes(deps),
    ...orgRoutes(deps),
    ...memberRoutes(deps),
    ...serviceAccountRoutes(deps),
    serviceTokenRoute({ ...deps, issue: deps.issueServiceToken }),
  ];
}
