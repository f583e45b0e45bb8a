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
    lease_expires_at INTEGER,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 3,
    idempotency_key TEXT,
    last_error TEXT NOT NULL DEFAULT ''
);
ALTER TABLE queue_items ADD COLUMN kind TEXT NOT NULL DEFAULT 'manual';
ALTER TABLE queue_items ADD COLUMN executor TEXT NOT NULL DEFAULT 'external';
ALTER TABLE queue_items ADD COLUMN run_id TEXT;
ALTER TABLE queue_items ADD COLUMN rank INTEGER NOT NULL DEFAULT 99;
-- 1 only while the item is PENDING, due and waits for nothing: the claim reads an index of exactly these rows.
ALTER TABLE queue_items ADD COLUMN claimable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN waits_for TEXT;
ALTER TABLE queue_items ADD COLUMN not_before_ms INTEGER;
ALTER TABLE queue_items ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN lease_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN lease_until_ms INTEGER;
-- Rises with every heartbeat, so that life is seen whatever the clocks say.
ALTER TABLE queue_items ADD COLUMN beat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN created_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_items ADD COLUMN started_ms INTEGER;

UPDATE queue_items SET
    rank = CASE priority WHEN 'P0' THEN 0 WHEN 'P1' THEN 1 WHEN 'P2' THEN 2 ELSE 99 END,
    claimable = CASE status WHEN 'PENDING' THEN 1 ELSE 0 END;

CREATE INDEX queue_claimable ON queue_items (executor, rank) WHERE claimable = 1;
CREATE INDEX queue_held ON queue_items (lease_owner) WHERE status = 'IN_PROGRESS';
CREATE INDEX queue_not_before ON queue_items (not_before_ms) WHERE not_before_ms IS NOT NULL;
CREATE UNIQUE INDEX queue_run ON queue_items (run_id) WHERE run_id IS NOT NULL;

CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counter (name, value)
    SELECT 'item', COALESCE(MAX(CAST(SUBSTR(id, 6) AS INTEGER)), 0) FROM queue_items
    WHERE id GLOB 'ORCH-[0-9]*' AND SUBSTR(id, 6) NOT GLOB '*[^0-9]*';

-- A worker that has claimed: enough to know, on its own machine, that its process is gone.
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    started_ms INTEGER NOT NULL
);

-- Bodies that events and approvals name only by a salted commitment; body and salt are erased together.
CREATE TABLE content (
    ref TEXT PRIMARY KEY,
    salt BLOB,
    body BLOB,
    media_type TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    erased_ms INTEGER
);

CREATE TABLE plan (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    updated_by TEXT NOT NULL
);

CREATE TABLE draft (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    prompt_ref TEXT NOT NULL REFERENCES content (ref),
    content_ref TEXT REFERENCES content (ref),
    context_ref TEXT NOT NULL REFERENCES content (ref),
    work TEXT NOT NULL,
    provider TEXT,
    error TEXT,
    author TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    decided_by TEXT,
    decision_reason TEXT
);

CREATE TABLE approved (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    draft_id TEXT NOT NULL UNIQUE REFERENCES draft (id),
    digest TEXT NOT NULL,
    terms TEXT NOT NULL,
    prompt_ref TEXT NOT NULL REFERENCES content (ref),
    content_ref TEXT REFERENCES content (ref),
    context_ref TEXT NOT NULL REFERENCES content (ref),
    provider TEXT,
    approved_ms INTEGER NOT NULL,
    approved_by TEXT NOT NULL,
    expires_ms INTEGER,
    attestation TEXT,
    revoked_ms INTEGER,
    revoked_by TEXT,
    revoke_reason TEXT
);

CREATE TABLE run (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    approved_id TEXT NOT NULL REFERENCES approved (id),
    item_id TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    message TEXT,
    generation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    started_ms INTEGER,
    ended_ms INTEGER,
    correlation_id TEXT,
    result TEXT
);
CREATE INDEX run_approved ON run (approved_id);
CREATE INDEX run_ended ON run (ended_ms) WHERE ended_ms IS NOT NULL;

-- A step's output is what a later worker goes on from; `generation` rises only when an operator retries the run.
CREATE TABLE run_step (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    name TEXT NOT NULL,
    fence INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    output TEXT,
    PRIMARY KEY (run_id, generation, name)
) WITHOUT ROWID;

CREATE TABLE run_log (
    run_id TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    msg TEXT NOT NULL,
    PRIMARY KEY (run_id, line)
) WITHOUT ROWID;

-- The one event log. The order is the write lock's: index and tree frontier are written with the event.
CREATE TABLE event (
    leaf_index INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    leaf TEXT NOT NULL,
    leaf_hash BLOB NOT NULL
);
CREATE INDEX event_subject ON event (subject);
CREATE TABLE event_key (key TEXT PRIMARY KEY, leaf_index INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIEW sealed AS SELECT leaf_index, kind, subject, time_ms, leaf, leaf_hash FROM event;

CREATE TABLE log_state (one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, frontier BLOB NOT NULL);

CREATE TABLE tree_head (
    size INTEGER PRIMARY KEY,
    root TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    note TEXT NOT NULL
);
