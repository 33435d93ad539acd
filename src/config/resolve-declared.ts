import { parseEndpoint } from "../core/upstream-address.ts";
import type { Config, DeclaredCredential, DeclaredService, DeclaredServiceSettings } from "./model.ts";
import { type Sources, readSecret } from "./secret-source.ts";
import type { ConfigInput } from "./schema.ts";
import { suggest } from "./suggest.ts";

type ServiceInput = ConfigInput["services"][string];

/** The services and root keys of the file. A secret given on a service becomes a root key of the service's name. */
export function resolveDeclared(input: ConfigInput, sources: Sources): Pick<Config, "credentials" | "services"> {
  const credentials = new Map<string, DeclaredCredential>();
  for (const [id, { value, origins, org }] of Object.entries(input.credentials)) {
    const secret = readSecret(value, ["credentials", id, "value"], sources);
    credentials.set(id, { id, org: org ?? null, secret: secret ?? "", origins });
  }
  const services = Object.entries(input.services).map(([id, service]) => {
    const declared = toService(id, service);
    return { ...declared, credential: resolveCredential(declared, service, credentials, sources) };
  });
  return { credentials: [...credentials.values()], services };
}

function resolveCredential(
  service: DeclaredService,
  input: ServiceInput,
  credentials: Map<string, DeclaredCredential>,
  sources: Sources,
): string | null {
  const { credential } = input;
  if (credential === undefined) return null;
  const place = sources.placeOf(["services", service.id, "credential"]);
  warnAboutClearText(service, sources);

  if (typeof credential !== "string") {
    if (credentials.has(service.id)) {
      const remedy = `Write credential = "${service.id}", or rename one of the two.`;
      sources.report({ place, message: `credentials.${service.id} has the same name`, remedy });
      return null;
    }
    const secret = readSecret(credential, ["services", service.id, "credential"], sources);
    credentials.set(service.id, { id: service.id, org: service.org, secret: secret ?? "", origins: [service.origin] });
    return service.id;
  }

  const found = credentials.get(credential);
  if (!found) {
    // The name is not repeated: people do paste the secret itself here.
    if (!sources.credentialNames.includes(credential)) {
      const near = suggest(credential, sources.credentialNames);
      sources.report({
        place,
        message: "no credential of this name is declared",
        remedy:
          near !== null ? `Did you mean ${near}?` : 'Declare it as [credentials.NAME], or write { env = "NAME" }.',
      });
    }
    return null;
  }
  if (found.org !== service.org) {
    const remedy = "Give both the same org: credentials are never shared between organizations.";
    sources.report({ place, message: "the credential belongs to another organization", remedy });
    return null;
  }
  credentials.set(found.id, { ...found, origins: [...new Set([...found.origins, service.origin])] });
  return found.id;
}

function warnAboutClearText(service: DeclaredService, sources: Sources): void {
  const url = new URL(service.origin);
  const isLocal = ["localhost", "[::1]"].includes(url.hostname) || url.hostname.startsWith("127.");
  if (url.protocol === "http:" && !isLocal) {
    sources.warn(`services.${service.id}: the credential travels in clear text; use an https endpoint.`);
  }
}

function toService(id: string, input: ServiceInput): DeclaredService {
  const address = parseEndpoint(input.endpoint);
  return {
    id,
    org: input.org ?? null,
    description: input.description,
    endpoint: input.endpoint,
    // The schema has refused what does not parse.
    origin: address?.origin ?? "",
    basePath: address?.basePath ?? "",
    credential: null,
    settings: toSettings(input),
  };
}

function toSettings(input: ServiceInput): DeclaredServiceSettings {
  return {
    injection: toInjection(input.injection),
    methods: input.methods ?? null,
    paths: input.paths ?? null,
    timeouts: {
      connectMs: input.timeouts.connect,
      headersMs: input.timeouts.headers,
      idleMs: input.timeouts.idle,
      totalMs: input.timeouts.total,
    },
    http2: input.http2,
    allowAddresses: input.allow_addresses,
    allowHeaders: input.allow_headers ?? null,
    forwardCookies: input.forward_cookies,
    forwardClientAddress: input.forward_client_address,
    allowKeyInQuery: input.allow_key_in_query,
    credentialEcho: input.credential_echo,
    identityAssertion: input.identity_assertion,
    identityAudience: input.identity_audience ?? null,
  };
}

function toInjection(injection: ServiceInput["injection"]): DeclaredServiceSettings["injection"] {
  switch (injection.type) {
    case "header": {
      const { name, prefix, template = null } = injection;
      return { kind: "header", name, prefix, template };
    }
    case "basic":
      return { kind: "basic", username: injection.username ?? null };
    case "bearer":
      return { kind: "bearer" };
    case "query":
      return { kind: "query", name: injection.name };
  }
}
