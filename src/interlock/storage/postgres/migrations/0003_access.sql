-- A token's secret is nowhere: only its SHA-256, as hex.
CREATE TABLE access_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    principal TEXT NOT NULL,
    role TEXT NOT NULL,
    digest TEXT NOT NULL,
    previous_digest TEXT,
    previous_until_ms BIGINT,
    created_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_ms BIGINT,
    expiry_told BIGINT NOT NULL,
    rotated_ms BIGINT,
    revoked_ms BIGINT,
    revoked_by TEXT,
    last_used_ms BIGINT
);

-- Not a foreign key: a token of the environment has no row.
CREATE TABLE access_session (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    token_id TEXT NOT NULL,
    token_digest TEXT NOT NULL,
    opened_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);
CREATE INDEX access_session_token ON access_session (token_id);

-- One row while panic is on, none while it is not. Every transaction that may change something reads it first.
CREATE TABLE panic (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    raised_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ms BIGINT NOT NULL
);
