import type { ConfigProblem } from "./model.ts";
import { parseJson } from "./parse-file.ts";
import { dotted } from "./problems.ts";
import { suggest } from "./suggest.ts";
import { isTable } from "./table.ts";

/** How problems name a document that came on standard input. */
export const STDIN = "(standard input)";

const KEYS = ["mcpServers", "gateway", "customSchemas"];
/** Refused with a reason of their own, later (unsupported.ts). */
const REFUSED_LATER = ["guards", "guardsMode"];

/**
 * The settings of the one JSON document that `serve --config-stdin` takes: `mcpServers`, `gateway` and `customSchemas`,
 * nothing else. @throws ConfigError when it is not a JSON object
 */
export function parseStdin(text: string, problems: ConfigProblem[]): Record<string, unknown> {
  const document = parseJson(STDIN, text);
  const settings: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(document)) {
    if (KEYS.includes(key) || REFUSED_LATER.includes(key)) settings[key] = value;
    else {
      const near = suggest(key, KEYS);
      const remedy = near === null ? `Remove it. Known here: ${KEYS.join(", ")}.` : `Did you mean ${near}?`;
      problems.push({ place: dotted([key]), message: "unknown setting", remedy });
    }
  }
  for (const key of ["mcpServers", "gateway"]) {
    if (!Object.hasOwn(document, key))
      problems.push({ place: key, message: "missing", remedy: `Write an object named ${key}.` });
  }
  return settings;
}

/** Takes `customSchemas` out of the settings, and says what is wrong with it. */
export function takeCustomSchemas(settings: Record<string, unknown>, problems: ConfigProblem[]): void {
  const schemas = settings["customSchemas"];
  delete settings["customSchemas"];
  if (schemas === undefined) return;
  if (!isTable(schemas)) {
    problems.push({
      place: "customSchemas",
      message: "not a table",
      remedy: "Write an object from type to the https URL of its schema.",
    });
    return;
  }
  for (const [name, url] of Object.entries(schemas)) {
    const place = dotted(["customSchemas", name]);
    if (!/^[a-z][a-z0-9-]{0,63}$/.test(name) || name === "stdio" || name === "http") {
      problems.push({
        place,
        message: "not a usable name of a type",
        remedy: "Write lower-case letters, digits and hyphens, starting with a letter.",
      });
    } else if (url !== "" && !(typeof url === "string" && url.startsWith("https://") && URL.canParse(url))) {
      problems.push({ place, message: "not an https URL", remedy: 'Write an https URL, or "" for none.' });
    }
  }
}

/** A document on standard input must say who may call: what it is written for has no other keys. */
export function checkStdinIdentity(
  settings: Record<string, unknown>,
  written: (field: string) => string,
  problems: ConfigProblem[],
): void {
  const gateway = settings["gateway"];
  if (!isTable(gateway)) return;
  const remedy = 'Write "agentId" with a random value, such as the output of: openssl rand -hex 32';
  if (gateway["agent_id"] === "") problems.push({ place: written("agent_id"), message: "empty", remedy });
  else if (gateway["agent_id"] === undefined && gateway["api_key"] === "") {
    problems.push({ place: written("api_key"), message: "empty", remedy });
  } else if (
    ["agent_id", "api_key", "agent_ids"].every((name) => gateway[name] === undefined) &&
    gateway["auth"] !== "none"
  ) {
    problems.push({ place: "gateway.agentId", message: "missing", remedy });
  }
}
