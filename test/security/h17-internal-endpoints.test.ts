/**
 * The attack: register a service whose endpoint is the cloud's metadata address, the gateway's own loopback or an
 * internal machine, and read it through the proxy with the gateway's network position.
 *
 * What holds here: address literals in such ranges are refused at registration, in every spelling, unless the
 * service's `allow_addresses` names them; metadata addresses only by their very address. Names are checked when
 * they are connected to (test/proxy).
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

let api: ResourceApi;
let nextId = 0;
beforeAll(async () => {
  api = await startResourceApi();
});
afterAll(() => api.close());

function register(endpoint: string, allow_addresses: string[] = []) {
  nextId += 1;
  const body = { id: `svc-${nextId}`, endpoint, allow_addresses };
  return api.call("POST", "/v1/services", { as: api.owner.token, body });
}

it.each([
  "http://169.254.169.254/latest/meta-data",
  "http://[fd00:ec2::254]",
  "http://100.100.100.200",
  "http://127.0.0.1:3333",
  "http://127.1",
  "http://2130706433",
  "http://0x7f000001",
  "http://0177.0.0.1",
  "http://[::1]",
  "http://[::ffff:127.0.0.1]",
  "http://[::ffff:7f00:1]",
  "http://[64:ff9b::7f00:1]",
  "http://[2002:7f00:1::]",
  "http://0.0.0.0",
  "http://[::]",
  "http://10.0.0.1",
  "http://172.16.5.5",
  "http://192.168.1.1",
  "http://100.64.0.1",
  "http://169.254.1.1",
  "http://[fe80::1]",
  "http://[fd12:3456::1]",
  "http://224.0.0.1",
  "http://255.255.255.255",
])("refuses %s", async (endpoint) => {
  const answer = await register(endpoint);
  expect([answer.status, answer.body.code]).toEqual([400, "request.invalid"]);
  expect(answer.body.fields[0]).toMatchObject({
    path: "endpoint",
    message: expect.stringContaining("allow_addresses"),
  });
});

it.each([
  ["http://127.0.0.1:8080", ["loopback"]],
  ["http://[::1]:8080", ["loopback"]],
  ["http://10.1.2.3", ["private"]],
  ["http://10.1.2.3", ["10.1.0.0/16"]],
  ["http://169.254.169.254", ["169.254.169.254"]],
  ["https://8.8.8.8", []],
])("takes %s with %j", async (endpoint, allowed) => {
  expect((await register(endpoint, allowed)).status).toBe(201);
});

it.each([
  ["http://127.0.0.1", ["private"]],
  ["http://10.1.2.3", ["loopback", "10.2.0.0/16"]],
  ["http://169.254.169.254", ["link_local", "0.0.0.0/0"]],
])("still refuses %s with %j", async (endpoint, allowed) => {
  expect((await register(endpoint, allowed)).status).toBe(400);
});

it("holds for a change as for a registration", async () => {
  const made = await register("https://api.example.com");
  const body = { endpoint: "http://169.254.169.254" };
  const answer = await api.call("PUT", `/v1/services/${made.body.id}`, { as: api.owner.token, body });
  expect(answer.status).toBe(400);
});
