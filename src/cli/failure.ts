import type { FieldProblem } from "../core/errors.ts";

/** What scripts can rely on. The help lists them. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notAuthenticated: 3,
  forbidden: 4,
  notFound: 5,
  conflict: 6,
  unreachable: 7,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

interface FailureFacts {
  /** Stable code, the gateway's where it answered. */
  readonly code?: string;
  readonly requestId?: string;
  readonly fields?: readonly FieldProblem[];
  /** What to type or do next. */
  readonly hint?: string;
}

/** A command that could not do what it was asked, in words for its user. */
export class CliFailure extends Error {
  override readonly name = "CliFailure";
  readonly exitCode: ExitCode;
  readonly facts: FailureFacts;

  constructor(exitCode: ExitCode, message: string, facts: FailureFacts = {}) {
    super(message);
    this.exitCode = exitCode;
    this.facts = facts;
  }
}

/** The exit code for an HTTP status that is not a success. */
export function exitCodeOf(status: number): ExitCode {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return EXIT.usage;
    case 401:
      return EXIT.notAuthenticated;
    case 403:
      return EXIT.forbidden;
    case 404:
      return EXIT.notFound;
    case 409:
      return EXIT.conflict;
    default:
      return EXIT.failure;
  }
}
