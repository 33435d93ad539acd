import type { Overlay } from "./environment.ts";
import type { GatewayInput } from "./gateway-schema.ts";
import type { GatewayAgent } from "./model.ts";
import { type Sources, readSecret } from "./secret-source.ts";
import { suggest } from "./suggest.ts";
import { isTable } from "./table.ts";

/** The built-in tools: a server that is always there. */
const BUILT_IN = "bifrost";

/** The new name in the spelling of the old one. */
const CURRENT: readonly (readonly [string, string])[] = [
  ["API_KEY", "MCP_GATEWAY_AGENT_ID"],
  ["API_KEY_FILE", "MCP_GATEWAY_AGENT_ID_FILE"],
  [".apiKey", "gateway.agentId"],
];

/**
 * What the older name of the agent id deserves to be told, one line for each place that uses it. The new name wins
 * wherever it is present, also when it is empty.
 */
export function aliasWarnings(
  settings: Record<string, unknown>,
  overlay: Overlay,
  nameOf: (field: string) => string,
): string[] {
  const file = isTable(settings["gateway"]) ? settings["gateway"] : {};
  const present = (field: string) => {
    const variable = overlay.values.get(`gateway.${field}`);
    return [
      ...(variable ? [{ name: variable.variable, value: variable.value }] : []),
      ...(file[field] === undefined ? [] : [{ name: nameOf(field), value: file[field] }]),
    ];
  };
  const [winner] = present("agent_id");
  return present("api_key").map(({ name, value }) => {
    const current = CURRENT.find(([old]) => name.endsWith(old))?.[1] ?? "gateway.agent_id";
    if (!winner) return `${name} is deprecated: its name is now ${current}.`;
    return JSON.stringify(winner.value) === JSON.stringify(value)
      ? `${name} is deprecated: remove it, as ${winner.name} is set too.`
      : `${name} is deprecated and ignored: ${winner.name} is set too, and differs.`;
  });
}

/** The agents that the configuration names, each with what it may use. Problems tell a position, never an id. */
export function resolveAgents(
  gateway: GatewayInput,
  policyAgents: readonly string[],
  servers: readonly string[],
  sources: Sources,
): GatewayAgent[] {
  const ids = agentIds(gateway, sources);
  const given = gateway.agent_policies;
  const policies = new Map<string, GatewayAgent["servers"]>();
  for (const [position, policy] of Object.entries(given ?? {})) {
    const path = ["gateway", "agent_policies", position];
    const id = policyAgents[Number(position) - 1] ?? "";
    const report = (message: string, remedy: string, more: readonly string[] = []) =>
      sources.report({ place: sources.placeOf([...path, ...more]), message, remedy });
    if (!ids.includes(id))
      report("names no configured agent id", "Write the agent id exactly as in agent_ids or agent_id.");
    if (policies.has(id)) report("is for the same agent as an earlier one", "Remove one of them.");
    for (const server of new Set([...policy.servers, ...Object.keys(policy.tools)])) {
      if (server !== BUILT_IN && !servers.includes(server)) {
        const near = suggest(server, [...servers, BUILT_IN]);
        report(
          "names a server that is not declared",
          near === null ? `Declared: ${[...servers, BUILT_IN].join(", ")}.` : `Did you mean ${near}?`,
          ["servers"],
        );
      }
    }
    if (Object.keys(policy.tools).some((server) => !policy.servers.includes(server))) {
      report(
        "names tools of a server that its servers do not hold",
        "Add the server to servers, or remove its tools.",
        ["tools"],
      );
    }
    policies.set(
      id,
      policy.servers.map((server) => {
        const tools = Object.hasOwn(policy.tools, server) ? (policy.tools[server] ?? []) : null;
        return { server, tools: tools === null || tools.includes("*") ? null : tools };
      }),
    );
  }
  const needsPolicy = given !== undefined || ids.length > 1;
  return ids.map((secret, i) => {
    const found = policies.get(secret);
    if (found === undefined && needsPolicy) {
      sources.report({
        place: sources.placeOf(["gateway", "agent_policies"]),
        message: `agent ${i + 1} of ${ids.length} has no policy`,
        remedy: 'Add an entry for it: what it may use, such as { servers = ["github"] }.',
      });
    }
    return { secret, servers: found ?? (needsPolicy ? [] : null) };
  });
}

function agentIds(gateway: GatewayInput, sources: Sources): string[] {
  const { agent_id: agentId, api_key: alias, agent_ids: several } = gateway;
  const read = (value: Parameters<typeof readSecret>[0], path: readonly string[]) => {
    const text = readSecret(value, path, sources);
    const flaw = text === null ? null : flawOf(text);
    if (flaw === null) return text;
    sources.report({
      place: sources.placeOf(path),
      message: flaw,
      remedy: "Write a value such as the output of: openssl rand -hex 32",
    });
    return null;
  };
  if (several !== undefined) {
    for (const field of ["agent_id", "api_key"] as const) {
      if (gateway[field] === undefined) continue;
      const place = sources.placeOf(["gateway", field]);
      sources.report({ place, message: "excludes agent_ids", remedy: "Keep one of the two." });
    }
    const ids = several.flatMap((value, i) => read(value, ["gateway", "agent_ids", String(i)]) ?? []);
    if (new Set(ids).size < ids.length) {
      const place = sources.placeOf(["gateway", "agent_ids"]);
      sources.report({ place, message: "has the same agent id twice", remedy: "Give each agent its own." });
    }
    return ids;
  }
  const [field, value] = agentId === undefined ? ["api_key", alias] : ["agent_id", agentId];
  if (value === undefined || value === "") return [];
  const id = read(value, ["gateway", field]);
  return id === null ? [] : [id];
}

/** Why a client could not send the value in a header, or null. */
function flawOf(text: string): string | null {
  if (text.trim() === "") return "blank";
  if (text.trim() !== text) return "has blanks around it, which a header loses";
  if (!/^[\x20-\x7e]*$/.test(text)) return "has characters that a header cannot carry";
  return text.length > 4_096 ? "longer than 4096 characters" : null;
}
