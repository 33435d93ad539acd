import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from "node:dns";
import { isRefused } from "./address-range.ts";

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;
/** As `net.connect` calls it. */
export type Lookup = (hostname: string, options: LookupOptions, callback: LookupCallback) => void;
/** Asks the system's resolver; replaced in tests, to answer as a hostile name server would. */
export type Resolve = typeof dnsLookup;

/**
 * Name resolution that answers only with addresses that may be reached. The connection is made to an address of this very
 * answer, so a name that resolves differently a moment later changes nothing. Fails closed. Not asked for a host that is
 * an address: check that with {@link isRefused} before.
 *
 * @param refusal makes the error where every address of the name is refused
 */
export function guardedLookup(
  allowAddresses: readonly string[],
  refusal: (hostname: string) => Error,
  resolve: Resolve = dnsLookup,
): Lookup {
  return function lookupAllowed(hostname, options, callback) {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const allowed = addresses.filter(({ address }) => !isRefused(address, allowAddresses));
      const [first] = allowed;
      if (!first) return callback(refusal(hostname), []);
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
