import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseFile } from "../../config/parse-file.ts";
import { type ServerEntry, withServer } from "./edit-servers.ts";

const ENTRY: ServerEntry = { command: "npx", args: ["-y", "x"], env: { TOKEN: "" } };

describe("one more server in a configuration file", () => {
  it("keeps every comment, space and other setting of TOML", () => {
    const text = '# mine\nport  = 1 # here\n\n[servers.a]\ncommand = "a"\n[gateway]\nagent_id = "${ID}"\n';
    const added = withServer("c.toml", text, "b", ENTRY);
    expect(added.startsWith(text)).toBe(true);
    expect(parseFile("c.toml", added)).toEqual({
      ...parseFile("c.toml", text),
      servers: { a: { command: "a" }, b: ENTRY },
    });
  });

  it("continues the table under the name that the file uses", () => {
    const toml = withServer("c.toml", '[mcp_servers.a]\ncommand = "a"', "b", ENTRY);
    expect(Object.keys(parseFile("c.toml", toml))).toEqual(["mcp_servers"]);
    const json = withServer("c.json", '{"servers":{"a":{"command":"a"}}}', "b", ENTRY);
    expect(Object.keys(parseFile("c.json", json))).toEqual(["servers"]);
  });

  it("indents JSON like its neighbours, and leaves the rest as it was written", () => {
    const text = '{\n    "n": 1.50,\n    "mcpServers": {\n        "a": { "url": "https://a.example" }\n    }\n}\n';
    const added = withServer("c.json", text, "b", { url: "https://b.example" });
    expect(added).toBe(
      '{\n    "n": 1.50,\n    "mcpServers": {\n        "a": { "url": "https://a.example" },\n' +
        '        "b": {\n          "url": "https://b.example"\n        }\n    }\n}\n',
    );
  });

  it("makes the table and the file where there is none", () => {
    for (const path of ["c.toml", "c"])
      expect(parseFile(path, withServer(path, "", "b", ENTRY))).toEqual({ servers: { b: ENTRY } });
    expect(withServer("c.json", "", "b", { url: "https://b.example" })).toBe(
      '{\n  "mcpServers": {\n    "b": {\n      "url": "https://b.example"\n    }\n  }\n}\n',
    );
    expect(parseFile("c.json", withServer("c.json", '{"a":1}', "b", ENTRY))).toEqual({
      a: 1,
      mcpServers: { b: ENTRY },
    });
    expect(parseFile("c.json", withServer("c.json", '{"mcpServers": {}}', "b", ENTRY))).toEqual({
      mcpServers: { b: ENTRY },
    });
  });

  it("refuses a name that is taken", () => {
    expect(() => withServer("c.json", '{"mcpServers":{"b":{}}}', "b", ENTRY)).toThrow("already");
    expect(() => withServer("c.toml", '[servers.b]\ncommand="x"', "b", ENTRY)).toThrow("already");
  });

  it.each([
    ["c.toml", 'servers = { a = { command = "a" } }'],
    ["c.json", '{"mcpServers": []}'],
    ["c.json", '{"mcpServers": "x"}'],
  ])("refuses what it cannot continue, and says what to write: %s %s", (path, text) => {
    expect(() => withServer(path, text, "b", ENTRY)).toThrow("cannot continue");
  });

  it("keeps all data of any JSON file, however it is spaced", () => {
    const name = fc.string().filter((key) => key !== "__proto__");
    const file = fc.dictionary(name, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 });
    fc.assert(
      fc.property(file, fc.constantFrom(undefined, 1, 2, "\t"), (data, space) => {
        const base = JSON.parse(JSON.stringify({ ...data, mcpServers: { a: { command: "a" } } })) as Record<
          string,
          unknown
        >;
        if (Object.keys(base).some((key) => key !== "mcpServers" && /^(?:mcp[_-]?)?servers$/i.test(key))) return;
        const text = JSON.stringify(base, null, space);
        if (text.includes("__proto__")) return;
        const after = parseFile("c.json", withServer("c.json", text, "b", ENTRY));
        expect(after).toEqual({ ...base, mcpServers: { a: { command: "a" }, b: ENTRY } });
      }),
    );
  });

  it("writes any text of an entry so that it is read back", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), (args) => {
        for (const path of ["c.toml", "c.json"]) {
          expect(parseFile(path, withServer(path, "", "b", { command: "x", args }))).toMatchObject(
            path === "c.toml" ? { servers: { b: { args } } } : { mcpServers: { b: { args } } },
          );
        }
      }),
    );
  });
});
