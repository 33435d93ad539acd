import type { AllowedServer, Principal } from "../access/principal.ts";
import type { DeclaredMcpServer } from "../config/model.ts";
import { GatewayError } from "../core/errors.ts";
import { compileNamePatterns } from "../core/name-pattern.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import { DEFAULT_ORG_ID } from "../identity/model.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { ArgumentRule, McpServerGrant } from "../keys/model.ts";
import { compileRule, type CompiledRule } from "./argument-rules.ts";
import { climbs } from "./dot-segments.ts";

/** Whose access is asked for. */
export interface CallerFacts {
  readonly principal: Principal;
  /** The key behind a principal of kind `virtual_key`; null for every other kind. */
  readonly live: LiveKey | null;
}

/** What one caller may do with one server. The same object answers for lists and for calls. */
export interface ServerAccess {
  /** Everything is allowed: lists need not be looked through. */
  readonly isUnrestricted: boolean;
  /** Only tools that say that they are read-only: their definitions must be known. */
  readonly isReadOnly: boolean;
  /** @param facts `readOnly`: the tool's definition has `annotations.readOnlyHint: true`; false where it is not known */
  allowsTool(name: string, facts: { readonly readOnly: boolean }): boolean;
  /**
   * Reads the arguments only where a rule is about this tool. Ask {@link ServerAccess.allowsTool} first.
   *
   * @param argumentsText the object as it was sent, from strict JSON; undefined where the call has none
   * @throws GatewayError `mcp.arguments_not_allowed`
   */
  checkArguments(tool: string, argumentsText: JsonText | undefined): void;
  allowsPrompt(name: string): boolean;
  /** A resource's URI, or a template's text. */
  allowsResource(uri: string): boolean;
}

/** Null: the server is hidden from the caller, and answered like one that does not exist. */
export type AccessTo = (caller: CallerFacts, server: DeclaredMcpServer) => ServerAccess | null;

/** What one grant allows, compiled. */
interface Allowance {
  tool(name: string): boolean;
  prompt(name: string): boolean;
  resource(uri: string): boolean;
  /** Of each tool pattern; none where arguments are free. */
  readonly rules: readonly { matches(tool: string): boolean; readonly rule: CompiledRule }[];
}

interface Rights {
  /** Of these any may allow: grants add up. Null: everything. */
  readonly allowances: readonly Allowance[] | null;
  /** Only tools that say that they change nothing. */
  readonly readOnly: boolean;
}

const EVERYTHING: Rights = { allowances: null, readOnly: false };
const READING: Rights = { allowances: null, readOnly: true };

/**
 * The one decision about MCP servers and what is in them: the server's own `tools` list and the caller's rights must both
 * allow. A server belongs to one organization, and no other sees it.
 *
 * Users use every server of their organization; a service account every one where it may use all services, else none, and
 * one held to `read` only tools that say that they are read-only; a virtual key what its grants name, likewise held to its
 * scope; a configured agent what its policy names; `auth = "none"` everything. What is not covered is refused.
 *
 * Patterns are compiled once per loaded key and server. Make one of these per gateway; it forgets with the keys themselves.
 */
export function createAccess(): AccessTo {
  const compiled = new WeakMap<object, WeakMap<DeclaredMcpServer, ServerAccess | null>>();
  return (caller, server) => {
    if ((server.org ?? DEFAULT_ORG_ID) !== caller.principal.orgId) return null;
    const subject = subjectOf(caller);
    if (subject === null) return null;
    let ofSubject = compiled.get(subject);
    if (!ofSubject) compiled.set(subject, (ofSubject = new WeakMap()));
    let access = ofSubject.get(server);
    if (access === undefined) {
      const rights = rightsOf(subject, server.name);
      ofSubject.set(server, (access = rights && toAccess(rights, server)));
    }
    return access;
  };
}

type Subject = Rights | LiveKey | readonly AllowedServer[];

/** What a caller's rights follow from: an object that lives as long as they are valid. Null: none. */
function subjectOf({ principal, live }: CallerFacts): Subject | null {
  switch (principal.kind) {
    case "user":
    case "local":
      return EVERYTHING;
    case "service_account":
      if (principal.services !== "all") return null;
      return principal.maxScope === "write" ? EVERYTHING : READING;
    case "virtual_key":
      return live?.key.uid === principal.uid ? live : null;
    case "gateway_agent":
      return principal.servers === "all" ? EVERYTHING : principal.servers;
  }
}

function rightsOf(subject: Subject, server: string): Rights | null {
  if ("allowances" in subject) return subject;
  if ("key" in subject) {
    const grants = subject.key.grants.filter((grant) => grant.kind === "mcp_server");
    const own = grants.filter((grant) => compileNamePatterns([grant.mcpServer])(server));
    return own.length === 0 ? null : { allowances: own.map(fromGrant), readOnly: subject.key.scope === "read" };
  }
  const own = subject.filter((allowed) => compileNamePatterns([allowed.server])(server));
  const free = { prompts: null, resources: null, arguments: [] };
  return own.length === 0
    ? null
    : { allowances: own.map(({ tools }) => fromGrant({ tools, ...free })), readOnly: false };
}

function fromGrant(grant: Pick<McpServerGrant, "tools" | "prompts" | "resources" | "arguments">): Allowance {
  // Where only some tools are allowed, what nobody named is not.
  const follow = grant.tools === null ? null : [];
  const resources = grant.resources ?? follow;
  const isGranted = compileNamePatterns(resources);
  const anything = resources === null || resources.includes("*");
  return {
    tool: compileNamePatterns(grant.tools),
    prompt: compileNamePatterns(grant.prompts ?? follow),
    resource: (uri) => isGranted(uri) && (anything || !climbs(uri)),
    rules: grant.arguments.map((rule: ArgumentRule) => ({
      matches: compileNamePatterns([rule.tool]),
      rule: compileRule(rule),
    })),
  };
}

function toAccess({ allowances, readOnly }: Rights, server: DeclaredMcpServer): ServerAccess {
  const isOffered = compileNamePatterns(server.tools);
  const some = (allows: (allowance: Allowance) => boolean) => allowances === null || allowances.some(allows);
  return {
    isUnrestricted: allowances === null && !readOnly && server.tools === null,
    isReadOnly: readOnly,
    allowsTool: (name, facts) =>
      isOffered(name) && (!readOnly || facts.readOnly) && some((allowance) => allowance.tool(name)),
    allowsPrompt: (name) => some((allowance) => allowance.prompt(name)),
    allowsResource: (uri) => some((allowance) => allowance.resource(uri)),
    checkArguments(tool, text) {
      if (allowances === null) return;
      let refused: CompiledRule | undefined;
      for (const allowance of allowances) {
        if (!allowance.tool(tool)) continue;
        const broken = allowance.rules.find(({ matches, rule }) => matches(tool) && !rule.allows(text));
        if (!broken) return;
        refused ??= broken.rule;
      }
      const path = refused ? `arguments.${refused.argument}` : "name";
      const message = refused ? "missing, or a value that is not allowed" : "not allowed";
      throw new GatewayError("mcp.arguments_not_allowed", { fields: [{ path, message }] });
    },
  };
}
