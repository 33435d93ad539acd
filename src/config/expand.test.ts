import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { load, problemsOf } from "../../test/support/load-config.ts";
import { expandText } from "./expand.ts";

describe("variables in texts", () => {
  const env = { NAME: "value", EMPTY: "", NESTED: "${NAME}", QUOTED: 'a","b":"${NAME}\n' };

  it.each([
    ["${NAME}", "value"],
    ["a${NAME}b${NAME}", "avaluebvalue"],
    ["${env:NAME}", "value"],
    ["${EMPTY}", ""],
    ["${EMPTY:-x}", ""],
    ["${NO:-x y}", "x y"],
    ["${NO:-}", ""],
    ["${NESTED}", "${NAME}"],
    ["${QUOTED}", 'a","b":"${NAME}\n'],
    ["$${NAME}", "${NAME}"],
    ["$NAME $ {NAME} $1", "$NAME $ {NAME} $1"],
  ])("%j is %j", (text, expected) => {
    expect(expandText(text, env)).toMatchObject({ text: expected });
  });

  it.each(["${NO}", "${}", "${a b}", "${NAME", "${toString}", "${__proto__}", "${input:key}"])(
    "%j is a problem",
    (text) => {
      expect(expandText(text, env)).toHaveProperty("message");
    },
  );

  it("are named, with their place, when they are not set", () => {
    const file = JSON.stringify({ mcpServers: { a: { command: "x", env: { TOKEN: "${MISSING}" } } } });
    expect(problemsOf({ file })).toEqual({
      "mcpServers.a.env.TOKEN":
        "the variable MISSING is not set. Set MISSING for the gateway's process, or write ${MISSING:-default}.",
    });
  });

  it("are left alone in jq programs, and outside the MCP part", () => {
    const file =
      '[services.a]\nendpoint = "https://a.b"\ndescription = "${X}"\n[servers.s]\ncommand = "x"\ntool_response_filters = { t = "\\"${X}\\"" }';
    const config = load({ file });
    expect(config.services[0]?.description).toBe("${X}");
    expect(config.mcpServers[0]?.responseFilters).toEqual({ t: '"${X}"' });
  });

  it("make an empty variable an empty value, where an empty text passes the gateway's own on", () => {
    const file = JSON.stringify({
      mcpServers: { a: { command: "x", env: { A: "${EMPTY}", B: "", C: { env: "NAME" } } } },
    });
    const { mcpServers } = load({ file, env: { ...env, A: "own-a", B: "own-b" } });
    expect(mcpServers[0]?.transport).toMatchObject({ env: { A: "", B: "own-b", C: "value" } });
  });

  it("cannot add structure or be expanded again, whatever they hold", () => {
    const mcpServers = { a: { command: "run", args: ["-x", "${V}", "pre-${V}"], env: { V1: "${V}" }, tools: ["t"] } };
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.constantFrom('"}},"x":{"command":"evil"}', "${HOME}", "$${V}", "\n[servers.evil]\n", "]]'''\"\"\""),
        ),
        (value) => {
          fc.pre(!value.includes("\0"));
          for (const given of [
            { file: JSON.stringify({ mcpServers }) },
            { stdin: JSON.stringify({ mcpServers, gateway: { agentId: "agent" } }) },
            {
              file: '[servers.a]\ncommand = "run"\nargs = ["-x", "${V}", "pre-${V}"]\nenv = { V1 = "${V}" }\ntools = ["t"]',
            },
          ]) {
            const config = load({ ...given, env: { V: value, HOME: "/secret-home" } });
            expect(config.mcpServers).toHaveLength(1);
            expect(config.mcpServers[0]?.transport).toMatchObject({
              command: "run",
              args: ["-x", value, `pre-${value}`],
              env: { V1: value },
            });
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
