/**
 * Which scenarios of the official suite are about something that this endpoint serves. The suite drives a server that has
 * certain test tools, prompts and resources; the gateway has its own four tools and nothing else, on purpose.
 */

interface Scope {
  /** Every check of these must pass, except those in `excused`. */
  readonly served: readonly string[];
  /** By reason. What such a scenario sends must still be answered in valid messages of the revision. */
  readonly notServed: Readonly<Record<string, readonly string[]>>;
  /** `scenario:check` of served scenarios that need what is not served, by reason. Each must still fail, or it is stale. */
  readonly excused: Readonly<Record<string, readonly string[]>>;
}

const NO_TOOL = "calls a tool that only the suite's own server has";
const NO_PROMPTS = "the endpoint has no prompts";
const NO_RESOURCES = "the endpoint has no resources";
const NO_COMPLETION = "without prompts and resources there is nothing to complete";
const NO_LOGGING = "the endpoint sends no log messages to clients";
const NO_SESSION = "the endpoint keeps no session and sends no event stream";
const NO_INPUT = "no tool asks its client for more input, so none ever answers input_required";

export const CONFORMANCE_SCOPE: Readonly<Record<"2025-11-25" | "2026-07-28", Scope>> = {
  "2025-11-25": {
    served: ["server-initialize", "ping", "tools-list", "server-sse-multiple-streams", "dns-rebinding-protection"],
    notServed: {
      [NO_TOOL]: [
        "tools-call-simple-text",
        "tools-call-image",
        "tools-call-audio",
        "tools-call-embedded-resource",
        "tools-call-mixed-content",
        "tools-call-with-logging",
        "tools-call-error",
        "tools-call-with-progress",
        "tools-call-sampling",
        "tools-call-elicitation",
        "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums",
        "json-schema-2020-12",
      ],
      [NO_PROMPTS]: [
        "prompts-list",
        "prompts-get-simple",
        "prompts-get-with-args",
        "prompts-get-embedded-resource",
        "prompts-get-with-image",
      ],
      [NO_RESOURCES]: [
        "resources-list",
        "resources-read-text",
        "resources-read-binary",
        "resources-templates-read",
        "resources-subscribe",
        "resources-unsubscribe",
      ],
      [NO_COMPLETION]: ["completion-complete"],
      [NO_LOGGING]: ["logging-set-level"],
      [NO_SESSION]: ["server-session-lifecycle", "server-sse-polling"],
    },
    excused: {},
  },
  "2026-07-28": {
    served: [
      "server-stateless",
      "tools-list",
      "server-sse-multiple-streams",
      "dns-rebinding-protection",
      "caching",
      "http-header-validation",
      // These pass because of how a server answers what it does not know.
      "sep-2164-resource-not-found",
      "input-required-result-missing-input-response",
      "input-required-result-unsupported-methods",
      "input-required-result-ignore-extra-params",
      "input-required-result-validate-input",
    ],
    notServed: {
      [NO_TOOL]: [
        "tools-call-simple-text",
        "tools-call-image",
        "tools-call-audio",
        "tools-call-embedded-resource",
        "tools-call-mixed-content",
        "tools-call-error",
        "tools-call-with-progress",
        "json-schema-2020-12",
        "http-custom-header-server-validation",
      ],
      [NO_PROMPTS]: [
        "prompts-list",
        "prompts-get-simple",
        "prompts-get-with-args",
        "prompts-get-embedded-resource",
        "prompts-get-with-image",
      ],
      [NO_RESOURCES]: ["resources-list", "resources-read-text", "resources-read-binary", "resources-templates-read"],
      [NO_COMPLETION]: ["completion-complete"],
      [NO_INPUT]: [
        "input-required-result-basic-elicitation",
        "input-required-result-basic-sampling",
        "input-required-result-basic-list-roots",
        "input-required-result-request-state",
        "input-required-result-multiple-input-requests",
        "input-required-result-multi-round",
        "input-required-result-non-tool-request",
        "input-required-result-result-type",
        "input-required-result-tampered-state",
        "input-required-result-capability-check",
      ],
    },
    excused: {
      [NO_TOOL]: [
        "server-stateless:sep-2575-server-rejects-undeclared-capability",
        "server-stateless:sep-2575-missing-capability-http-400",
        "server-stateless:sep-2575-http-server-no-independent-requests-on-stream",
        "server-stateless:sep-2575-server-no-log-without-loglevel",
      ],
      [NO_PROMPTS]: ["caching:sep-2549-prompts-list-caching-hints"],
      [NO_INPUT]: [
        "input-required-result-missing-input-response:sep-2322-missing-response-rerequests",
        "input-required-result-ignore-extra-params:sep-2322-ignore-unexpected-params",
      ],
      [NO_RESOURCES]: [
        "sep-2164-resource-not-found:sep-2164-error-code",
        "sep-2164-resource-not-found:sep-2164-data-uri",
        "caching:sep-2549-resources-list-caching-hints",
        "caching:sep-2549-resources-templates-list-caching-hints",
      ],
    },
  },
};
