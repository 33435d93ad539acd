import type { Era } from "../mcp-links/types.ts";
import { createCanonicalJson } from "./canonical-json.ts";
import type { LinkTerms, Slot } from "./places.ts";
import type { LoadedCatalog } from "./read-catalog.ts";
import type { Conversation } from "./types.ts";

/** Which conversations a server treats alike, as far as its answers tell. */
export interface CatalogKeys {
  /** Conversations of one key are offered the same. It changes when the server shows that it was too wide. */
  keyOf(terms: LinkTerms): string;
  /** Whether the gateway's own link is as good for the conversation as one of its own would be. */
  fits(own: Slot, conversation: Conversation): boolean;
  /** Whether the conversation's lists may be read over a link that does not carry its identity. */
  isAnonymous(terms: LinkTerms): boolean;
  /** The era to ask for on behalf of a client of this one: nothing is asked in vain twice. */
  eraFor(era: Era): Era;
  learnEra(asked: Era, spoken: Era): void;
  learnScope(catalog: LoadedCatalog): void;
  /** It may speak other eras now. */
  forgetEras(): void;
}

export const NO_CAPABILITIES = "{}";

/** @param http whether the server hears of identity at all */
export function createCatalogKeys(http: boolean): CatalogKeys {
  const canonicalJson = createCanonicalJson();
  /** Eras that the server was asked for and answered in the other. */
  const notSpoken = new Set<Era>();
  /** Whether lists are for one identity only (`cacheScope`, 2026-07-28); null: not known yet. */
  let privateLists: boolean | null = null;

  const eraFor = (era: Era) => (notSpoken.has(era) ? otherEra(era) : era);
  const isAnonymous = ({ headers }: LinkTerms) =>
    !http || privateLists === false || canonicalJson(JSON.stringify(headers)) === "{}";

  return {
    keyOf(terms) {
      const { era, headers, facts } = terms;
      const identity = isAnonymous(terms) ? "" : canonicalJson(JSON.stringify(headers));
      return `${eraFor(era)} ${canonicalJson(facts.capabilities)} ${identity}`;
    },
    fits(own, conversation) {
      const era = own.bare?.era ?? own.terms.era;
      if (era !== conversation.era && !notSpoken.has(conversation.era)) return false;
      return canonicalJson(conversation.facts.capabilities) === NO_CAPABILITIES;
    },
    isAnonymous,
    eraFor,
    learnEra(asked, spoken) {
      notSpoken.delete(spoken);
      if (asked !== spoken) notSpoken.add(asked);
    },
    learnScope({ hints }) {
      // Once private, always treated so: who profits from a mistake would see another's lists.
      privateLists ||= Object.values(hints).some((hint) => hint?.scope === "private");
    },
    forgetEras: () => notSpoken.clear(),
  };
}

const otherEra = (era: Era): Era => (era === "2025" ? "2026" : "2025");
