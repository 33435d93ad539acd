import type { ObserveRequest } from "../backends/server-backend.ts";
import { logExchanges, logRequests } from "./log-observer.ts";
import type { LinkObserver } from "./observed-link.ts";
import type { Telemetry } from "./telemetry.ts";

/** What looks at the requests of clients to servers; null where nothing does. */
export function observeRequests({ files }: Telemetry): ObserveRequest | null {
  return files && logRequests(files);
}

/** What looks at the requests that go out to servers. */
export function linkObservers({ files }: Telemetry): readonly LinkObserver[] {
  return files ? [logExchanges(files)] : [];
}
