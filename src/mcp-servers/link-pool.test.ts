import fc from "fast-check";
import { expect, it } from "vitest";
import { declaredHttp, declaredStdio } from "../../test/support/fake-mcp-upstream.ts";
import { settle } from "../../test/support/manual-schedule.ts";
import { callOnce, outcomeOf, registryOf } from "../../test/support/mcp-registry.ts";
import { GatewayError } from "../core/errors.ts";

const step = fc.record({
  what: fc.constantFrom("call", "call", "call", "release", "die", "forget", "tools", "break", "mend"),
  who: fc.nat(11),
  delayMs: fc.constantFrom(0, 0, 3, 40, 1_500, 70_000),
  /** How long the next opening, answer and closing take. */
  latencyMs: fc.nat(60),
});

it.each(["stdio", "http"] as const)(
  "keeps its bounds and leaves nothing behind whatever happens to a %s server in whichever order",
  async (kind) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { server, servers, fake, schedule } = registryOf(
          kind === "stdio" ? declaredStdio("s", 3) : declaredHttp("s"),
        );
        let latencyMs = 0;
        const latency = () => new Promise<void>((resolve) => schedule.after(latencyMs, resolve));
        fake.opening = latency;
        fake.closing = latency;
        const running: Promise<unknown>[] = [];
        const seen = new Map<string, unknown>();
        servers.start();
        for (const { what, who, delayMs, latencyMs: next } of steps) {
          latencyMs = next;
          const key = `c${who}`;
          const principalUid = `usr_${who % 3}`;
          if (what === "call") {
            const call = callOnce(server, key, { principalUid, shared: who % 2 === 0 });
            // Nobody ever gets a link that somebody else has.
            running.push(call.then((link) => void seen.set(key, link)).catch(() => {}));
          } else if (what === "release") running.push(server.release(key));
          else if (what === "die") fake.links[who % Math.max(1, fake.links.length)]?.die();
          else if (what === "tools") fake.tools = [`tool-${who}`];
          else if (what === "break") fake.answer = async () => Promise.reject(new GatewayError("upstream.unreachable"));
          else if (what === "mend") fake.answer = null;
          else fake.answer = async () => Promise.reject(new GatewayError("upstream.session_lost"));
          await schedule.pass(delayMs);
          if (kind === "stdio") expect(server.status().processes).toBeLessThanOrEqual(3);
          const links = [...seen.values()];
          expect(new Set(links).size).toBe(links.length);
        }
        if (kind === "stdio") expect(fake.mostAlive).toBeLessThanOrEqual(3);
        const closing = servers.close(10_000);
        await schedule.pass(20_000);
        await closing;
        await Promise.all(running);
        await settle();
        expect({ alive: fake.alive, timers: schedule.waiting() }).toEqual({ alive: 0, timers: 0 });
        expect(await outcomeOf(callOnce(server, "late"))).not.toBe("fulfilled");
      }),
      { numRuns: 150 },
    );
  },
  60_000,
);
