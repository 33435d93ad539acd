import type { ColumnType } from "kysely";

/**
 * The tables as Kysely sees them, the same on both engines: ids are text, times are integer Unix
 * milliseconds, booleans are 0 or 1, lists and objects are JSON as text (parsed with zod on read).
 * docs/storage.md says for each table what is hashed or encrypted and who deletes rows.
 *
 * `uid` is the immutable internal id that rows refer to each other by. `id`, where there is one, is
 * the name callers chose; it can be freed and taken again without touching what referred to the old row.
 */
export interface Database {
  instance_settings: { name: string; value: string };
  orgs: {
    uid: string;
    id: string;
    name: string;
    domain: string | null;
    email: string | null;
    created_at_ms: number;
    updated_at_ms: number;
  };
  users: {
    uid: string;
    /** Home org: its admins may change or delete the user. Other orgs only hold a membership. */
    org_uid: string;
    name: string;
    /** Lower-cased; unique over the instance. */
    email: string;
    api_key_hash: string;
    created_at_ms: number;
    updated_at_ms: number;
  };
  memberships: { org_uid: string; user_uid: string; role: string; created_at_ms: number };
  sessions: {
    uid: string;
    org_uid: string;
    user_uid: string;
    token_hash: string;
    /** When the first token of this chain was issued; refreshing never extends past the maximum age from here. */
    started_at_ms: number;
    created_at_ms: number;
    expires_at_ms: number;
    revoked_at_ms: number | null;
  };
  service_accounts: {
    uid: string;
    org_uid: string;
    id: string;
    name: string;
    api_key_hash: string;
    /** 1: every service of the org. 0: those in service_account_services, none if there are none. */
    all_services: number;
    max_ttl_seconds: number | null;
    max_rate_limit: number | null;
    max_scope: string;
    created_by: string;
    created_at_ms: number;
  };
  service_account_services: { service_account_uid: string; org_uid: string; service_uid: string };
  credentials: {
    uid: string;
    org_uid: string;
    id: string;
    /** JSON array of origins the current secret may be sent to. */
    origins: string;
    version: number;
    /** `api` or `config`. */
    managed_by: string;
    created_at_ms: number;
    updated_at_ms: number;
  };
  credential_versions: {
    credential_uid: string;
    org_uid: string;
    version: number;
    /** Envelope of vault/keyring.ts; associated data: org, credential uid, version. */
    sealed: string;
    /** JSON array as in `credentials`: an older secret is never sent where only a newer one was allowed to go. */
    origins: string;
    hint: string | null;
    created_by: string;
    created_at_ms: number;
  };
  services: {
    uid: string;
    org_uid: string;
    id: string;
    description: string;
    origin: string;
    base_path: string;
    credential_uid: string | null;
    /** JSON, see ServiceSettings in services/model.ts. */
    settings: string;
    managed_by: string;
    /** Set while a service that the configuration file declared is absent from it: it answers as if it did not exist. */
    disabled_at_ms: number | null;
    created_at_ms: number;
    updated_at_ms: number;
  };
  virtual_keys: {
    uid: string;
    org_uid: string;
    id: string;
    name: string;
    secret_hash: string;
    hint: string;
    /** The secret before the last rotation, valid until previous_expires_at_ms. */
    previous_secret_hash: string | null;
    previous_expires_at_ms: number | null;
    scope: string;
    expires_at_ms: number;
    rate_limit: number;
    max_concurrency: number | null;
    max_uses: number | null;
    uses: ColumnType<number, number | undefined, number>;
    agent_id: string | null;
    /** `api`, `mcp` or `service_account`: server-owned, never taken from a request. */
    source: string;
    owner_kind: string;
    owner_uid: string;
    metadata: string;
    created_at_ms: number;
    updated_at_ms: number;
    revoked_at_ms: number | null;
  };
  grants: {
    key_uid: string;
    org_uid: string;
    position: number;
    /** `service` or `mcp_server`. */
    kind: string;
    service_uid: string | null;
    mcp_server: string | null;
    /** JSON arrays; null allows all that the service allows. */
    methods: string | null;
    paths: string | null;
    tools: string | null;
    prompts: string | null;
    resources: string | null;
    /** JSON array of rules for arguments of tools; null for none. */
    arguments: string | null;
  };
  idempotency_keys: {
    org_uid: string;
    principal_uid: string;
    key_hash: string;
    request_hash: string;
    /** 0 while the first request runs. */
    status: number;
    /** Sealed, since a reply may carry a secret that is shown once. */
    sealed_reply: string | null;
    created_at_ms: number;
  };
  audit_entries: {
    org_uid: string;
    seq: number;
    uid: string;
    at_ms: number;
    actor_kind: string;
    actor_id: string;
    action: string;
    target_kind: string;
    target_id: string;
    outcome: string;
    detail: string;
    request_id: string | null;
    client_address: string | null;
    previous_hash: string;
    hash: string;
  };
  audit_heads: { org_uid: string; seq: number; hash: string };
  signing_keys: {
    kid: string;
    public_jwk: string;
    sealed_private_jwk: string;
    created_at_ms: number;
    retired_at_ms: number | null;
  };
}
