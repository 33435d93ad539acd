import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readUnifiedName, readUnifiedUri, unifiedName, unifiedUri, withUnifiedUris } from "./unified-names.ts";

/** What the configuration admits as a server's name. */
const serverName = fc
  .stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)
  .filter((name) => !name.includes("___") && !name.endsWith("_"));

describe("names in unified mode", () => {
  it("lead back to the one server and name they were made of, whatever the server calls its own", () => {
    fc.assert(
      fc.property(serverName, fc.string(), (server, name) => {
        expect(readUnifiedName(unifiedName(server, name))).toEqual({ server, name });
        expect(readUnifiedUri(unifiedUri(server, name))).toEqual({ server, name });
      }),
    );
  });

  it("of two servers never collide", () => {
    fc.assert(
      fc.property(serverName, fc.string(), serverName, fc.string(), (server, name, other, otherName) => {
        fc.pre(server !== other || name !== otherName);
        expect(unifiedName(server, name)).not.toBe(unifiedName(other, otherName));
        expect(unifiedUri(server, name)).not.toBe(unifiedUri(other, otherName));
      }),
    );
  });

  it("make resources into valid URIs that keep query, fragment and template", () => {
    expect(new URL(unifiedUri("files", "file:///a/b%20c?x=1#y")).protocol).toBe("bifrost:");
    expect(unifiedUri("files", "file:///{path}")).toBe("bifrost://files/file:///{path}");
  });

  it.each([["list_services"], ["___x"], [""]])("a tool named %j belongs to no server", (name) => {
    expect(readUnifiedName(name)).toBeNull();
  });

  it.each([["file:///a"], ["bifrost://files"], [""]])("a resource named %j belongs to no server", (uri) => {
    expect(readUnifiedUri(uri)).toBeNull();
  });
});

describe("results in unified mode", () => {
  it("point to resources by the names that unified mode reads, and keep every other byte", () => {
    const result =
      '{ "content":[{"type":"resource_link","uri":"a:1","name":"n","size":12345678901234567890},' +
      '{"type":"resource","resource":{"uri":"a:2","text":"uri"},"x":1.50},{"type":"text","text":"\\"uri\\": a:3"}],' +
      '"structuredContent":{"uri":"a:4"}}';
    expect(withUnifiedUris("s", result)).toBe(
      '{"content":[{"type":"resource_link","uri":"bifrost://s/a:1","name":"n","size":12345678901234567890},' +
        '{"type":"resource","resource":{"uri":"bifrost://s/a:2","text":"uri"},"x":1.50},' +
        '{"type":"text","text":"\\"uri\\": a:3"}],"structuredContent":{"uri":"a:4"}}',
    );
  });

  it("do so for what is read and for messages of prompts", () => {
    expect(withUnifiedUris("s", '{"contents":[{"uri":"a:1","text":""}]}')).toContain('"uri":"bifrost://s/a:1"');
    const prompt = '{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:1"}}}]}';
    expect(withUnifiedUris("s", prompt)).toContain('"uri":"bifrost://s/a:1"');
  });

  it("without a resource stay the same text", () => {
    const result = '{ "content" : [ ] }';
    expect(withUnifiedUris("s", result)).toBe(result);
  });
});
