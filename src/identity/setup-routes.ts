import { z } from "zod";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { publicRoute, type Route } from "../http/route.ts";
import { type GuessThrottle, refuseThrottled } from "./authenticate.ts";
import type { IdentityDeps } from "./model.ts";
import { apiKeyOnce, displayName, emailAddress, sessionTokenOnce } from "./schemas.ts";
import { recordFailedSetup, runSetup } from "./setup.ts";

const required = "name and email are required";

const SetupRequest = z
  .strictObject({
    name: displayName(required),
    email: emailAddress(required),
    org_name: displayName().default("Default").describe("New name of the organization `default`."),
    setup_token: z.string().max(256).optional().describe("The one-time token, where the header is not sent."),
  })
  .meta({ id: "SetupRequest" });

/** A user with the only copies of their secrets. */
export const UserWithSecrets = z
  .object({
    id: z.string(),
    name: z.string(),
    email: z.string(),
    api_key: apiKeyOnce,
    token: sessionTokenOnce,
  })
  .meta({ id: "UserWithSecrets" });

/** Set-up: the one management route that works before there is anyone to authenticate. */
export function setupRoutes(deps: IdentityDeps, throttle: GuessThrottle): Route[] {
  return [
    publicRoute({
      method: "POST",
      path: "/v1/setup",
      operationId: "setUp",
      tag: "Setup",
      summary: "Make the first user, owner of the organization `default`. Works once.",
      description:
        "Needs the one-time token that the first start printed, in the header `X-Setup-Token` or the field `setup_token`.",
      body: SetupRequest,
      replies: { 201: UserWithSecrets },
      errors: ["setup.done", "setup.token_invalid", "auth.throttled"],
      async handle({ body, request }) {
        refuseThrottled(throttle, request.clientAddress);
        const order = {
          token: request.header("x-setup-token") ?? body.setup_token,
          name: body.name,
          email: body.email,
          orgName: body.org_name,
        };
        try {
          const { user, apiKey, token } = await runSetup(deps, order, request);
          return {
            status: 201,
            body: { id: user.uid, name: user.name, email: user.email, api_key: apiKey, token },
          };
        } catch (failure) {
          if (failure instanceof GatewayError && failure.code === "setup.token_invalid") {
            throttle.recordFailure(request.clientAddress);
          }
          await recordFailedSetup(deps, toGatewayError(failure).code, request);
          throw failure;
        }
      },
    }),
  ];
}
