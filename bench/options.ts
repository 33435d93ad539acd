import { parseArgs } from "node:util";

/** What `npm run bench -- …` was asked to do. Times are in seconds. */
export interface Options {
  readonly seconds: number;
  readonly rounds: number;
  readonly connections: number;
  readonly warmup: number;
  readonly soak: number;
  readonly streams: number;
  readonly events: number;
  readonly only: readonly string[] | null;
  readonly json: boolean;
  readonly peerNode: string | null;
  readonly profile: boolean;
  readonly wrk: boolean;
}

export const HELP = `npm run bench -- [options]

  --seconds N      length of one measurement (default 3)
  --rounds N       paired rounds per workload; medians are reported (default 5)
  --connections N  keep-alive connections of the load (default 32)
  --warmup N       seconds of load before a contestant is first measured (default 6)
  --soak N         seconds of steady load on the gateway while its memory is sampled (default 20;
                   300 answers the 5-minute target, 0 leaves it out)
  --streams N      concurrent SSE streams (default 500)
  --events N       events in each of them (default 20)
  --only A,B       only these contestants and direct: nginx, bare, gateway, peer
  --peer-node PATH run the peer on this Node instead of measuring which one suits it
  --profile        instead: where the gateway spends its time under the POST load (a CPU profile)
  --no-wrk         use the bundled load generator even if wrk is installed
  --json           print nothing but the JSON line
`;

/** Throws a plain Error with a message for people when a value makes no sense. */
export function parseOptions(argv: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "5" },
      connections: { type: "string", default: "32" },
      warmup: { type: "string", default: "6" },
      soak: { type: "string", default: "20" },
      streams: { type: "string", default: "500" },
      events: { type: "string", default: "20" },
      only: { type: "string" },
      json: { type: "boolean", default: false },
      "peer-node": { type: "string" },
      profile: { type: "boolean", default: false },
      "no-wrk": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  return {
    seconds: wholeNumber("--seconds", values.seconds, 1),
    rounds: wholeNumber("--rounds", values.rounds, 1),
    connections: wholeNumber("--connections", values.connections, 1),
    warmup: wholeNumber("--warmup", values.warmup, 0),
    soak: wholeNumber("--soak", values.soak, 0),
    streams: wholeNumber("--streams", values.streams, 0),
    events: wholeNumber("--events", values.events, 1),
    only: values.only === undefined ? null : contestants(values.only),
    json: values.json,
    peerNode: values["peer-node"] ?? null,
    profile: values.profile,
    wrk: !values["no-wrk"],
  };
}

export const CONTESTANTS = ["nginx", "bare", "gateway", "peer"] as const;

function contestants(text: string): string[] {
  const names = text.split(",").filter((name) => name !== "direct");
  const unknown = names.filter((name) => !CONTESTANTS.some((known) => known === name));
  if (unknown.length > 0) throw new Error(`--only: "${unknown.join(",")}" is none of ${CONTESTANTS.join(", ")}`);
  return names;
}

function wholeNumber(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < least) {
    throw new Error(`${flag} takes a whole number from ${least}, not "${text}"`);
  }
  return value;
}
