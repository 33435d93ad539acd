import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { type Answer, createAnswer } from "./answer.ts";
import { createEventStream } from "./event-stream.ts";

/** What a client gets that sends one POST, when its answer is treated so. */
async function answering(treat: (answer: Answer) => void, hasStream = true): Promise<{ type: string; text: string }> {
  const server = createServer((_request, response) =>
    treat(createAnswer(response, hasStream ? createEventStream : null)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const reply = await fetch(`http://127.0.0.1:${port}/`, { method: "POST" });
  const got = { type: reply.headers.get("content-type") ?? "", text: await reply.text() };
  server.close();
  return got;
}

describe("the answer to a POST of the 2025 era", () => {
  it("is plain JSON where nothing comes before the reply", async () => {
    const got = await answering((answer) => answer.finish('{"id":1}'));
    expect(got).toEqual({ type: "application/json", text: '{"id":1}' });
  });

  it("is a stream, primed for a client that comes back, from the first message before the reply", async () => {
    const { type, text } = await answering((answer) => {
      expect(answer.send('{"method":"a"}')).toBe(true);
      answer.finish('{"id":1}');
      expect(answer.send('{"method":"late"}')).toBe(false);
    });
    expect(type).toBe("text/event-stream");
    expect(text).toMatch(
      /^id: (\S+)-1\nretry: \d+\ndata: \n\nid: \1-2\ndata: \{"method":"a"\}\n\nid: \1-3\ndata: \{"id":1\}\n\n$|^retry/,
    );
    expect(text).not.toContain("late");
  });

  it("becomes a stream when it was silent for an interval, and not before", async () => {
    const first = await answering((answer) => {
      answer.keepAlive();
      answer.finish('{"id":1}');
    });
    expect(first.type).toBe("application/json");
    const second = await answering((answer) => {
      answer.keepAlive();
      answer.keepAlive();
      answer.finish('{"id":1}');
    });
    expect(second.type).toBe("text/event-stream");
  });

  it("stays plain JSON for a client that reads no streams: what comes before the reply is lost, and says so", async () => {
    const got = await answering((answer) => {
      expect(answer.send('{"method":"a"}')).toBe(false);
      answer.keepAlive();
      answer.keepAlive();
      answer.finish('{"id":1}');
    }, false);
    expect(got).toEqual({ type: "application/json", text: '{"id":1}' });
  });
});
