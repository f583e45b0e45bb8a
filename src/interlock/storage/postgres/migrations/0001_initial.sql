CREATE TABLE schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL);

-- The queue's table keeps the columns that seed-1 tools write; a database of theirs is adopted as it is.
CREATE TABLE IF NOT EXISTS queue_items (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    task TEXT NOT NULL,
    success_criteria TEXT NOT NULL,
    owner_session TEXT NOT NULL DEFAULT '-',
    started_at_kst TEXT NOT NULL DEFAULT '-',
    due_at_kst TEXT NOT NULL DEFAULT '-',
    notes TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    lease_owner TEXT,
    lease_expires_at BIGINT,
    attempt_count BIGINT NOT NULL DEFAULT 0,
    max_attempts BIGINT NOT NULL DEFAULT 3,
    idempotency_key TEXT,
    last_error TEXT NOT NULL DEFAULT ''
);
ALTER TABLE queue_items ADD COLUMN seq BIGINT GENERATED ALWAYS AS IDENTITY;
ALTER TABLE queue_items ADD COLUMN kind TEXT NOT NULL DEFAULT 'manual';
ALTER TABLE queue_items ADD COLUMN executor TEXT NOT NULL DEFAULT 'external';
ALTER TABLE queue_items ADD COLUMN run_id TEXT;
ALTER TABLE queue_items ADD COLUMN rank BIGINT NOT NULL DEFAULT 99;
-- 1 only while the item is PENDING, due and waits for nothing: the claim reads an index of exactly these rows.
ALTER TABLE queue_items ADD COLUMN claimable BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN waits_for TEXT;
ALTER TABLE queue_items ADD COLUMN not_before_ms BIGINT;
ALTER TABLE queue_items ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN lease_until_ms BIGINT;
-- Rises with every heartbeat, so that life is seen whatever the clocks say.
ALTER TABLE queue_items ADD COLUMN beat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN created_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN started_ms BIGINT;

UPDATE queue_items SET
    rank = CASE priority WHEN 'P0' THEN 0 WHEN 'P1' THEN 1 WHEN 'P2' THEN 2 ELSE 99 END,
    claimable = CASE status WHEN 'PENDING' THEN 1 ELSE 0 END;

CREATE INDEX queue_claimable ON queue_items (executor, rank, seq) WHERE claimable = 1;
CREATE INDEX queue_held ON queue_items (lease_owner) WHERE status = 'IN_PROGRESS';
CREATE INDEX queue_not_before ON queue_items (not_before_ms) WHERE not_before_ms IS NOT NULL;
CREATE UNIQUE INDEX queue_run ON queue_items (run_id) WHERE run_id IS NOT NULL;

-- A sequence, so that two who add items never wait for each other; gaps are allowed.
CREATE SEQUENCE item_number;
SELECT setval('item_number', COALESCE(MAX(CAST(SUBSTR(id, 6) AS BIGINT)), 0) + 1, false) FROM queue_items
    WHERE id ~ '^ORCH-[0-9]+$';

-- A worker that has claimed: enough to know, on its own machine, that its process is gone.
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    started_ms BIGINT NOT NULL
);

-- Bodies that events and approvals name only by a salted commitment; body and salt are erased together.
CREATE TABLE content (
    ref TEXT PRIMARY KEY,
    salt BYTEA,
    body BYTEA,
    media_type TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    erased_ms BIGINT
);

CREATE TABLE plan (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    updated_ms BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);

CREATE TABLE draft (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    prompt_ref TEXT NOT NULL REFERENCES content (ref),
    content_ref TEXT REFERENCES content (ref),
    context_ref TEXT NOT NULL REFERENCES content (ref),
    work TEXT NOT NULL,
    provider TEXT,
    error TEXT,
    author TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    decided_by TEXT,
    decision_reason TEXT
);

CREATE TABLE approved (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    draft_id TEXT NOT NULL UNIQUE REFERENCES draft (id),
    digest TEXT NOT NULL,
    terms TEXT NOT NULL,
    prompt_ref TEXT NOT NULL REFERENCES content (ref),
    content_ref TEXT REFERENCES content (ref),
    context_ref TEXT NOT NULL REFERENCES content (ref),
    provider TEXT,
    approved_ms BIGINT NOT NULL,
    approved_by TEXT NOT NULL,
    expires_ms BIGINT,
    attestation TEXT,
    revoked_ms BIGINT,
    revoked_by TEXT,
    revoke_reason TEXT
);

CREATE TABLE run (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    approved_id TEXT NOT NULL REFERENCES approved (id),
    item_id TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    generation BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    started_ms BIGINT,
    ended_ms BIGINT,
    correlation_id TEXT,
    result TEXT
);
CREATE INDEX run_approved ON run (approved_id);
CREATE INDEX run_ended ON run (ended_ms) WHERE ended_ms IS NOT NULL;

-- A step's output is what a later worker goes on from; `generation` rises only when an operator retries the run.
CREATE TABLE run_step (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    name TEXT NOT NULL,
    fence BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    output TEXT,
    PRIMARY KEY (run_id, generation, name)
);

CREATE TABLE run_log (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    line BIGINT NOT NULL,
    ts_ms BIGINT NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    msg TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
);

-- The one event log. Events are only ever inserted; the sequencer takes what is visible in event_unsealed and gives
-- it the next leaf index. Never by a watermark or by time: a cursor on event_id would lose late commits for good.
CREATE TABLE event (
    event_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    time_ms BIGINT NOT NULL,
    leaf TEXT NOT NULL
);
CREATE INDEX event_subject ON event (subject);
CREATE TABLE event_key (key TEXT PRIMARY KEY);
CREATE TABLE event_unsealed (event_id BIGINT PRIMARY KEY);
CREATE TABLE leaf (leaf_index BIGINT PRIMARY KEY, event_id BIGINT NOT NULL UNIQUE, leaf_hash BYTEA NOT NULL);
CREATE VIEW sealed AS
    SELECT leaf.leaf_index, event.kind, event.subject, event.time_ms, event.leaf, leaf.leaf_hash
    FROM leaf JOIN event USING (event_id);

CREATE TABLE log_state (one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, frontier BYTEA NOT NULL);

CREATE TABLE tree_head (
    size BIGINT PRIMARY KEY,
    root TEXT NOT NULL,
    time_ms BIGINT NOT NULL,
    note TEXT NOT NULL
);
