import { AsyncLocalStorage } from "node:async_hooks";
import type { Attributes, EndedSpan, SpanKind } from "./otlp.ts";
import { createTraceIds, formatTraceparent, parseTraceparent, type TraceContext } from "./trace-context.ts";

/** Something that takes time, and its place in a trace. */
export interface Span {
  /** Value of `traceparent` for what is done on its behalf; null where the trace is not sampled. */
  readonly traceparent: string | null;
  set(attributes: Attributes): void;
  event(name: string): void;
  /** @param error what went wrong, as a code; null where nothing did. Only the first end counts. */
  end(error: string | null): void;
}

/** A request to the gateway: the first span here of its trace. */
export interface RootSpan extends Span {
  /**
   * The caller's own place in a trace, known only when its message was read. Counts unless a header told one before; must
   * come before any further span.
   */
  adopt(traceparent: string | undefined): void;
}

export interface Tracer {
  /** @param traceparent as the caller sent it, if it did */
  root(name: string, traceparent: string | undefined, attributes: Attributes): RootSpan;
  /** A span within the one that is under way here; null where none is, it is not sampled, or its request is answered. */
  child(name: string, kind: SpanKind, attributes: Attributes): Span | null;
  /** Runs something, and all that it starts, within the span. */
  run<T>(span: Span, work: () => T): T;
  /** The request under way here. */
  currentRoot(): RootSpan | null;
}

export interface TracerOptions {
  /** Share of the traces begun here that are sampled, from 0 to 1. A caller's own decision is followed. */
  readonly sampleRate: number;
  /** Parent of what no caller gave a parent. A missing span id is made up once. */
  readonly traceId: string | null;
  readonly spanId: string | null;
  /** From 0 to below 1. */
  random(): number;
  onEnded(span: EndedSpan): void;
}

/** A place in a trace, and what it is within. */
interface Place {
  readonly context: TraceContext;
  readonly parentSpanId: string | null;
}

/** Longer texts are cut: some are a client's to choose. */
const TEXT_MAX = 256;
const EVENTS_MAX = 16;

/** The trace under way travels with the asynchronous context, so that no stage has to hand it on. */
export function createTracer(options: TracerOptions): Tracer {
  const ids = createTraceIds();
  const current = new AsyncLocalStorage<ActiveSpan>();
  const fixed = options.traceId === null ? null : { traceId: options.traceId, spanId: options.spanId ?? ids.spanId() };

  /** Where a trace that no caller began begins. */
  function origin(): Place {
    const isSampled = options.random() < options.sampleRate;
    const context = { traceId: fixed?.traceId ?? ids.traceId(), spanId: ids.spanId(), isSampled };
    return { context, parentSpanId: fixed?.spanId ?? null };
  }

  function within(parent: TraceContext): Place {
    return { context: { ...parent, spanId: ids.spanId() }, parentSpanId: parent.spanId };
  }

  return {
    root(name, traceparent, attributes) {
      const given = parseTraceparent(traceparent);
      const place = given ? within(given) : origin();
      const span = new ActiveSpan({ name, kind: "server", attributes, place, root: null }, options);
      if (!given) span.adoptive = within;
      return span;
    },
    child(name, kind, attributes) {
      const parent = current.getStore();
      // What a request set off and goes on without it, such as watching a server, is not part of it.
      if (!parent?.context.isSampled || parent.root.isOver) return null;
      return new ActiveSpan({ name, kind, attributes, place: within(parent.context), root: parent.root }, options);
    },
    run: (span, work) => (span instanceof ActiveSpan ? current.run(span, work) : work()),
    currentRoot: () => current.getStore()?.root ?? null,
  };
}

class ActiveSpan implements RootSpan {
  readonly root: ActiveSpan;
  /** How a place within a parent is made; null where the parent is settled. */
  adoptive: ((parent: TraceContext) => Place) | null = null;
  readonly #name: string;
  readonly #kind: SpanKind;
  readonly #startMs = now();
  readonly #events: { name: string; atMs: number }[] = [];
  readonly #onEnded: TracerOptions["onEnded"];
  #place: Place;
  #attributes: Attributes;
  #ended = false;

  constructor(
    span: {
      readonly name: string;
      readonly kind: SpanKind;
      readonly attributes: Attributes;
      readonly place: Place;
      readonly root: ActiveSpan | null;
    },
    { onEnded }: Pick<TracerOptions, "onEnded">,
  ) {
    this.#name = span.name;
    this.#kind = span.kind;
    this.#attributes = span.attributes;
    this.#place = span.place;
    this.root = span.root ?? this;
    this.#onEnded = onEnded;
  }

  get context(): TraceContext {
    return this.#place.context;
  }

  get isOver(): boolean {
    return this.#ended;
  }

  get traceparent(): string | null {
    return this.context.isSampled ? formatTraceparent(this.context) : null;
  }

  adopt(traceparent: string | undefined): void {
    const parent = this.adoptive && parseTraceparent(traceparent);
    if (!parent || !this.adoptive) return;
    this.#place = this.adoptive(parent);
    this.adoptive = null;
  }

  set(attributes: Attributes): void {
    this.#attributes = { ...this.#attributes, ...attributes };
  }

  event(name: string): void {
    if (this.#events.length < EVENTS_MAX) this.#events.push({ name, atMs: now() });
  }

  end(error: string | null): void {
    if (this.#ended || !this.context.isSampled) return;
    this.#ended = true;
    const { traceId, spanId } = this.context;
    this.#onEnded({
      traceId,
      spanId,
      parentSpanId: this.#place.parentSpanId,
      name: this.#name,
      kind: this.#kind,
      startMs: this.#startMs,
      endMs: now(),
      attributes: bounded(this.#attributes),
      events: this.#events,
      error,
    });
  }
}

/** Milliseconds since 1970 that do not step back within a span. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function bounded(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [
      key,
      typeof value === "string" ? value.slice(0, TEXT_MAX) : value,
    ]),
  );
}
