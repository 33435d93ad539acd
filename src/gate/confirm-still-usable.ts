import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { usable } from "./authenticate.ts";
import type { KeyCache, LiveKey } from "./key-cache.ts";

interface ConfirmDeps {
  readonly clock: Clock;
  readonly keys: KeyCache;
}

/**
 * Revocation is told to requests that are registered as open (open-requests.ts). One that registers late looks here at what
 * happened since it was authenticated. Undefined, and no promise, where nothing has, as far as this instance knows: the
 * usual case. When a promise resolves, nothing runs before its caller goes on.
 *
 * @throws GatewayError `key.revoked`, `key.expired`, `key.invalid`, all by the promise
 */
export function confirmStillUsable(live: LiveKey, deps: ConfirmDeps): Promise<void> | undefined {
  const { keys, clock } = deps;
  if (keys.peek(live.presentedHash) === live && live.secretExpiresAtMs > clock.now()) return undefined;
  return confirm(live, deps);
}

async function confirm(live: LiveKey, { keys, clock }: ConfirmDeps): Promise<void> {
  let current = keys.peek(live.presentedHash);
  while (current === undefined) {
    const loaded = await keys.load(live.presentedHash);
    if (!loaded) throw new GatewayError("key.revoked");
    usable(loaded, clock.now());
    current = keys.peek(live.presentedHash);
  }
  usable(current, clock.now());
}
