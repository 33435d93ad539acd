import type { ChangeBus } from "../core/changes.ts";
import { compilePatterns } from "../core/path-pattern.ts";
import type { Service } from "../services/model.ts";

/** A service as the hot path wants it. */
export interface LiveService {
  readonly service: Service;
  allowsMethod(method: string): boolean;
  allowsPath(path: string): boolean;
}

/** Services seen recently, by uid; forgotten when they, or anything of their org, change. */
export interface Catalog {
  peek(serviceUid: string): LiveService | undefined;
  /** Null when there is no such service, or it is disabled. */
  load(serviceUid: string): Promise<LiveService | null>;
}

export function createCatalog(deps: {
  readonly changes: ChangeBus;
  findService(uid: string): Promise<Service | null>;
}): Catalog {
  const services = new Map<string, LiveService>();
  let epoch = 0;
  deps.changes.subscribe((change) => {
    epoch += 1;
    if (change.kind === "service") services.delete(change.uid);
    else if (change.kind !== "key" && change.kind !== "principal") services.clear();
  });

  return {
    peek: (serviceUid) => services.get(serviceUid),
    async load(serviceUid) {
      const epochBefore = epoch;
      const service = await deps.findService(serviceUid);
      if (!service || service.disabledAtMs !== null) return null;
      const methods = service.settings.methods === null ? null : new Set(service.settings.methods);
      const live: LiveService = {
        service,
        allowsMethod: (method) => methods === null || methods.has(method),
        allowsPath: compilePatterns(service.settings.paths),
      };
      if (epoch === epochBefore) services.set(serviceUid, live);
      return live;
    },
  };
}
