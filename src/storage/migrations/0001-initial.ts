import type { Kysely } from "kysely";

/** Frozen once released: later changes are new migrations. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const schema = db.schema;

  await schema
    .createTable("instance_settings")
    .addColumn("name", "text", (c) => c.primaryKey())
    .addColumn("value", "text", (c) => c.notNull())
    .execute();

  await schema
    .createTable("orgs")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("id", "text", (c) => c.notNull().unique())
    .addColumn("name", "text", (c) => c.notNull().unique())
    .addColumn("domain", "text")
    .addColumn("email", "text")
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("updated_at_ms", "bigint", (c) => c.notNull())
    .execute();

  await schema
    .createTable("users")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("email", "text", (c) => c.notNull().unique())
    .addColumn("api_key_hash", "text", (c) => c.notNull().unique())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("updated_at_ms", "bigint", (c) => c.notNull())
    .execute();

  await schema
    .createTable("memberships")
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("user_uid", "text", (c) => c.notNull().references("users.uid").onDelete("cascade"))
    .addColumn("role", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addPrimaryKeyConstraint("memberships_pk", ["org_uid", "user_uid"])
    .execute();
  await schema.createIndex("memberships_user").on("memberships").column("user_uid").execute();

  await schema
    .createTable("sessions")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("user_uid", "text", (c) => c.notNull().references("users.uid").onDelete("cascade"))
    .addColumn("token_hash", "text", (c) => c.notNull().unique())
    .addColumn("started_at_ms", "bigint", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("expires_at_ms", "bigint", (c) => c.notNull())
    .addColumn("revoked_at_ms", "bigint")
    .execute();
  await schema.createIndex("sessions_user").on("sessions").column("user_uid").execute();
  await schema.createIndex("sessions_expiry").on("sessions").column("expires_at_ms").execute();

  await schema
    .createTable("credentials")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("id", "text", (c) => c.notNull())
    .addColumn("origins", "text", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("managed_by", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("updated_at_ms", "bigint", (c) => c.notNull())
    .addUniqueConstraint("credentials_id", ["org_uid", "id"])
    .execute();

  await schema
    .createTable("credential_versions")
    .addColumn("credential_uid", "text", (c) => c.notNull().references("credentials.uid").onDelete("cascade"))
    .addColumn("org_uid", "text", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("sealed", "text", (c) => c.notNull())
    .addColumn("origins", "text", (c) => c.notNull())
    .addColumn("hint", "text")
    .addColumn("created_by", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addPrimaryKeyConstraint("credential_versions_pk", ["credential_uid", "version"])
    .execute();

  await schema
    .createTable("services")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("id", "text", (c) => c.notNull())
    .addColumn("description", "text", (c) => c.notNull())
    .addColumn("origin", "text", (c) => c.notNull())
    .addColumn("base_path", "text", (c) => c.notNull())
    .addColumn("credential_uid", "text")
    .addColumn("settings", "text", (c) => c.notNull())
    .addColumn("managed_by", "text", (c) => c.notNull())
    .addColumn("disabled_at_ms", "bigint")
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("updated_at_ms", "bigint", (c) => c.notNull())
    .addUniqueConstraint("services_id", ["org_uid", "id"])
    // No cascade: a credential that a service needs cannot be deleted from under it. Checked at commit, as
    // PostgreSQL would otherwise refuse to delete an org, whose credentials and services go one after the other.
    .addForeignKeyConstraint("services_credential_fk", ["credential_uid"], "credentials", ["uid"], (c) =>
      c.deferrable().initiallyDeferred(),
    )
    .execute();
  await schema.createIndex("services_credential").on("services").column("credential_uid").execute();

  await schema
    .createTable("service_accounts")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("id", "text", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("api_key_hash", "text", (c) => c.notNull().unique())
    .addColumn("all_services", "integer", (c) => c.notNull())
    .addColumn("max_ttl_seconds", "bigint")
    .addColumn("max_rate_limit", "bigint")
    .addColumn("max_scope", "text", (c) => c.notNull())
    .addColumn("created_by", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addUniqueConstraint("service_accounts_id", ["org_uid", "id"])
    .execute();

  await schema
    .createTable("service_account_services")
    .addColumn("service_account_uid", "text", (c) => c.notNull().references("service_accounts.uid").onDelete("cascade"))
    .addColumn("org_uid", "text", (c) => c.notNull())
    .addColumn("service_uid", "text", (c) => c.notNull().references("services.uid").onDelete("cascade"))
    .addPrimaryKeyConstraint("service_account_services_pk", ["service_account_uid", "service_uid"])
    .execute();

  await schema
    .createTable("virtual_keys")
    .addColumn("uid", "text", (c) => c.primaryKey())
    .addColumn("org_uid", "text", (c) => c.notNull().references("orgs.uid").onDelete("cascade"))
    .addColumn("id", "text", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("secret_hash", "text", (c) => c.notNull().unique())
    .addColumn("hint", "text", (c) => c.notNull())
    .addColumn("previous_secret_hash", "text", (c) => c.unique())
    .addColumn("previous_expires_at_ms", "bigint")
    .addColumn("scope", "text", (c) => c.notNull())
    .addColumn("expires_at_ms", "bigint", (c) => c.notNull())
    .addColumn("rate_limit", "bigint", (c) => c.notNull())
    .addColumn("max_concurrency", "bigint")
    .addColumn("max_uses", "bigint")
    .addColumn("uses", "bigint", (c) => c.notNull().defaultTo(0))
    .addColumn("agent_id", "text")
    .addColumn("source", "text", (c) => c.notNull())
    .addColumn("owner_kind", "text", (c) => c.notNull())
    .addColumn("owner_uid", "text", (c) => c.notNull())
    .addColumn("metadata", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("updated_at_ms", "bigint", (c) => c.notNull())
    .addColumn("revoked_at_ms", "bigint")
    .addUniqueConstraint("virtual_keys_id", ["org_uid", "id"])
    .execute();
  await schema.createIndex("virtual_keys_owner").on("virtual_keys").columns(["org_uid", "owner_uid"]).execute();
  await schema
    .createIndex("virtual_keys_page")
    .on("virtual_keys")
    .columns(["org_uid", "created_at_ms", "uid"])
    .execute();
  await schema.createIndex("virtual_keys_expiry").on("virtual_keys").column("expires_at_ms").execute();

  await schema
    .createTable("grants")
    .addColumn("key_uid", "text", (c) => c.notNull().references("virtual_keys.uid").onDelete("cascade"))
    .addColumn("org_uid", "text", (c) => c.notNull())
    .addColumn("position", "integer", (c) => c.notNull())
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("service_uid", "text")
    .addColumn("mcp_server", "text")
    .addColumn("methods", "text")
    .addColumn("paths", "text")
    .addColumn("tools", "text")
    .addPrimaryKeyConstraint("grants_pk", ["key_uid", "position"])
    // No cascade: deleting a service with keys is refused, or revokes them first. Checked at commit, as above.
    .addForeignKeyConstraint("grants_service_fk", ["service_uid"], "services", ["uid"], (c) =>
      c.deferrable().initiallyDeferred(),
    )
    .execute();
  await schema.createIndex("grants_service").on("grants").column("service_uid").execute();

  await schema
    .createTable("idempotency_keys")
    .addColumn("org_uid", "text", (c) => c.notNull())
    .addColumn("principal_uid", "text", (c) => c.notNull())
    .addColumn("key_hash", "text", (c) => c.notNull())
    .addColumn("request_hash", "text", (c) => c.notNull())
    .addColumn("status", "integer", (c) => c.notNull())
    .addColumn("sealed_reply", "text")
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addPrimaryKeyConstraint("idempotency_keys_pk", ["org_uid", "principal_uid", "key_hash"])
    .execute();
  await schema.createIndex("idempotency_keys_age").on("idempotency_keys").column("created_at_ms").execute();

  // No foreign keys: the trail outlives what it speaks of, the org included.
  await schema
    .createTable("audit_entries")
    .addColumn("org_uid", "text", (c) => c.notNull())
    .addColumn("seq", "bigint", (c) => c.notNull())
    .addColumn("uid", "text", (c) => c.notNull().unique())
    .addColumn("at_ms", "bigint", (c) => c.notNull())
    .addColumn("actor_kind", "text", (c) => c.notNull())
    .addColumn("actor_id", "text", (c) => c.notNull())
    .addColumn("action", "text", (c) => c.notNull())
    .addColumn("target_kind", "text", (c) => c.notNull())
    .addColumn("target_id", "text", (c) => c.notNull())
    .addColumn("outcome", "text", (c) => c.notNull())
    .addColumn("detail", "text", (c) => c.notNull())
    .addColumn("request_id", "text")
    .addColumn("client_address", "text")
    .addColumn("previous_hash", "text", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("audit_entries_pk", ["org_uid", "seq"])
    .execute();

  await schema
    .createTable("audit_heads")
    .addColumn("org_uid", "text", (c) => c.primaryKey())
    .addColumn("seq", "bigint", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull())
    .execute();

  await schema
    .createTable("signing_keys")
    .addColumn("kid", "text", (c) => c.primaryKey())
    .addColumn("public_jwk", "text", (c) => c.notNull())
    .addColumn("sealed_private_jwk", "text", (c) => c.notNull())
    .addColumn("created_at_ms", "bigint", (c) => c.notNull())
    .addColumn("retired_at_ms", "bigint")
    .execute();
}
