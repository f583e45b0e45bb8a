-- One workspace folder on one machine; several of its processes are one node. The heartbeat is no event.
CREATE TABLE node (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    version TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    labels TEXT NOT NULL,
    concurrency BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'quarantined')),
    reason TEXT NOT NULL DEFAULT '',
    changed_by TEXT NOT NULL DEFAULT '',
    since_ms BIGINT NOT NULL,
    joined_ms BIGINT NOT NULL,
    heartbeat_ms BIGINT NOT NULL,
    beat BIGINT NOT NULL DEFAULT 0,
    left_ms BIGINT,
    lost_ms BIGINT,
    lost_beat BIGINT,
    config_version BIGINT NOT NULL DEFAULT 0,
    notice TEXT NOT NULL DEFAULT ''
);

-- Who runs a loop that only one process should. The epoch is looked up in every write of that loop.
CREATE TABLE leader (
    role TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- The configuration that all nodes follow, version by version.
CREATE TABLE config_version (
    version BIGINT PRIMARY KEY,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_ms BIGINT NOT NULL
);

-- The key of a node that joined from another machine, until whoever holds the log's key has told the log of it.
CREATE TABLE key_asked (
    name TEXT PRIMARY KEY,
    vkey TEXT NOT NULL,
    reason TEXT NOT NULL,
    envelope BYTEA NOT NULL,
    asked_by TEXT NOT NULL,
    asked_ms BIGINT NOT NULL,
    admitted_ms BIGINT
);
