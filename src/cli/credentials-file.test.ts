import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openLoginStore } from "./credentials-file.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "bifrost-cli-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const open = () => openLoginStore({ XDG_CONFIG_HOME: dir });
const login = (token: string) => ({ token, expires_at: null, user: "a@b.c", org: null });

describe("stored logins", () => {
  it("are in a folder and file that only their owner can read", () => {
    const store = open();
    store.save("http://a:1", login("t"));
    expect(statSync(store.path).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, "bifrost")).mode & 0o777).toBe(0o700);
  });

  it("are kept apart by gateway, and the last one is current", () => {
    open().save("http://a:1", login("one"));
    open().save("http://b:2", login("two"));
    expect(open().find("http://a:1")?.token).toBe("one");
    expect(open().find("http://c:3")).toBeNull();
    expect(open().current()).toBe("http://b:2");
    expect(open().remove("http://b:2")).toBe(true);
    expect(open().remove("http://b:2")).toBe(false);
    expect(readFileSync(open().path, "utf8")).not.toContain("two");
  });

  it("are not used when others can read the file", () => {
    open().save("http://a:1", login("t"));
    chmodSync(open().path, 0o640);
    expect(() => open().find("http://a:1")).toThrow("can be read by others");
  });

  it("are not guessed at when the file is damaged", () => {
    open().save("http://a:1", login("t"));
    writeFileSync(open().path, "{");
    expect(() => open().find("http://a:1")).toThrow("is damaged");
  });
});
