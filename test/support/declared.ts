import type { DeclaredCredential, DeclaredService } from "../../src/config/model.ts";
import { DEFAULT_SETTINGS } from "../../src/services/model.ts";

/** A credential as the configuration declares one. */
export function declaredCredential(given: Partial<DeclaredCredential> & { id: string }): DeclaredCredential {
  return { org: null, secret: "sk-declared-0123456789", origins: ["https://api.example.com"], ...given };
}

/** A service as the configuration declares one. */
export function declaredService(given: Partial<DeclaredService> & { id: string }): DeclaredService {
  return {
    org: null,
    description: "",
    endpoint: "https://api.example.com",
    origin: "https://api.example.com",
    basePath: "",
    credential: null,
    settings: DEFAULT_SETTINGS,
    ...given,
  };
}
