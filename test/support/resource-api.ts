import { credentialRoutes } from "../../src/credentials/routes.ts";
import type { KeyLimits } from "../../src/keys/ceilings.ts";
import { keyRoutes } from "../../src/keys/routes.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { serviceRoutes } from "../../src/services/routes.ts";
import { startManagement, type TestUser } from "./management.ts";

const HOUR_MS = 3_600_000;

export const TEST_LIMITS: KeyLimits = {
  maxTtlMs: 90 * 24 * HOUR_MS,
  maxRateLimit: 100_000,
  memberMaxTtlMs: 24 * HOUR_MS,
  memberMaxRateLimit: 600,
  mcpMaxTtlMs: HOUR_MS,
  mcpMaxRateLimit: 120,
};

/** The management API with root keys, services and keys, set up, with an owner of the default organization. */
export async function startResourceApi(options: Parameters<typeof startManagement>[0] = {}) {
  const api = await startManagement({
    ...options,
    moreRoutes: (deps) => [
      ...credentialRoutes(deps),
      ...serviceRoutes({ ...deps, keysIn: createKeyStore }),
      ...keyRoutes({ ...deps, limits: TEST_LIMITS, rotationGraceMs: HOUR_MS }),
    ],
  });
  const owner = await api.setUp();
  return {
    ...api,
    owner,
    /** An org of its own with an owner: a stranger to the default one. */
    async addForeignOwner(): Promise<TestUser> {
      return api.addUser(owner.token, "owner", { org_name: `Foreign ${crypto.randomUUID()}` });
    },
    /** A service account of the default org; all services unless some are named. */
    async addServiceAccount(more: Record<string, unknown> = {}): Promise<{ id: string; apiKey: string }> {
      const body = { name: "CI", allowed_services: ["*"], ...more };
      const answer = await api.call("POST", "/v1/serviceaccounts", { as: owner.token, body });
      if (answer.status !== 201) throw new Error(`adding an account answered ${answer.status}: ${answer.body.error}`);
      return { id: answer.body.id, apiKey: answer.body.api_key };
    },
  };
}

export type ResourceApi = Awaited<ReturnType<typeof startResourceApi>>;
