import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { GatewayAgentPrincipal } from "../access/principal.ts";
import type { GatewayAgent } from "../config/model.ts";
import { encodeBase62 } from "../core/base62.ts";
import { BoundedMap } from "../core/bounded-map.ts";
import { type GuessThrottle, networkOf, throttledError } from "../limits/guess-throttle.ts";
import type { Keyring } from "../vault/keyring.ts";

/** The agents that the configuration names, by the value of `Authorization`. */
export interface GatewayAgents {
  /**
   * The agent whose secret this is: bare, or after `Bearer` or `Agent` in any case (RFC 9110 §11.1). Null for every other
   * value, which is not counted as a guess here: it may be a key of the gateway.
   *
   * @throws GatewayError `auth.throttled` for a good value from an address that is throttled and never gave it before:
   *   these secrets are chosen by people, so guessing must stay slow also for who guesses right
   */
  find(authorization: string, clientAddress: string): GatewayAgentPrincipal | null;
}

/** Pairs of agent and network that lately were good. */
const MAX_KNOWN = 10_000;

/**
 * Every configured value is compared with every presented one, as digests of equal length and without early exit: the time
 * tells neither how much of a value was right, nor its length, nor which agent it is.
 *
 * @param org the first organization, to which configured agents belong
 */
export function createGatewayAgents(
  configured: readonly GatewayAgent[],
  deps: {
    readonly keyring: Pick<Keyring, "hashSecret">;
    readonly throttle: Pick<GuessThrottle, "isThrottled">;
    readonly org: { readonly uid: string; readonly id: string };
  },
): GatewayAgents {
  // Of this process only: nobody outside can know what a digest begins with.
  const digestKey = randomBytes(32);
  const digest = (text: string) => createHmac("sha256", digestKey).update(text).digest();
  const agents = configured.map((agent) => ({
    digest: digest(agent.secret),
    principal: toPrincipal(agent, deps.keyring, deps.org),
  }));
  const known = new BoundedMap<string, true>(MAX_KNOWN);

  function match(text: string): GatewayAgentPrincipal | null {
    const presented = digest(text);
    let found: GatewayAgentPrincipal | null = null;
    for (const agent of agents) if (timingSafeEqual(agent.digest, presented)) found = agent.principal;
    return found;
  }

  return {
    find(authorization, clientAddress) {
      if (agents.length === 0 || authorization === "") return null;
      const bare = /^(?:bearer|agent) +(.+)$/i.exec(authorization)?.[1];
      // Also as a whole: a secret may itself begin with such a word.
      const agent = (bare === undefined ? null : match(bare)) ?? match(authorization);
      if (!agent) return null;
      const pair = `${agent.uid} ${networkOf(clientAddress)}`;
      const retryAfterSeconds = deps.throttle.isThrottled(clientAddress);
      if (retryAfterSeconds !== null && known.peek(pair) === undefined) throw throttledError(retryAfterSeconds);
      if (known.peek(pair) === undefined) known.set(pair, true);
      return agent;
    },
  };
}

/** The keyed hash is truncated to the 128 bits of every other public id, and of another text than hashes that are stored. */
function toPrincipal(
  { secret, servers }: GatewayAgent,
  keyring: Pick<Keyring, "hashSecret">,
  org: { readonly uid: string; readonly id: string },
): GatewayAgentPrincipal {
  const hash = Buffer.from(keyring.hashSecret(`bifrost gateway agent id\0${secret}`), "base64url");
  const uid = `agt_${encodeBase62(hash.subarray(0, 16), 22)}`;
  return { kind: "gateway_agent", uid, id: uid, orgUid: org.uid, orgId: org.id, servers: servers ?? "all" };
}
