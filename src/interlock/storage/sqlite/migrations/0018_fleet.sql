-- One workspace folder on one machine; several of its processes are one node. The heartbeat is no event.
CREATE TABLE node (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    version TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    labels TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'quarantined')),
    reason TEXT NOT NULL DEFAULT '',
    changed_by TEXT NOT NULL DEFAULT '',
    since_ms INTEGER NOT NULL,
    joined_ms INTEGER NOT NULL,
    heartbeat_ms INTEGER NOT NULL,
    beat INTEGER NOT NULL DEFAULT 0,
    left_ms INTEGER,
    lost_ms INTEGER,
    lost_beat INTEGER,
    config_version INTEGER NOT NULL DEFAULT 0,
    notice TEXT NOT NULL DEFAULT ''
);

-- Who runs a loop that only one process should. The epoch is looked up in every write of that loop.
CREATE TABLE leader (
    role TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
);

-- The configuration that all nodes follow, version by version.
CREATE TABLE config_version (
    version INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_ms INTEGER NOT NULL
);

-- The key of a node that joined from another machine, until whoever holds the log's key has told the log of it.
CREATE TABLE key_asked (
    name TEXT PRIMARY KEY,
    vkey TEXT NOT NULL,
    reason TEXT NOT NULL,
    envelope BLOB NOT NULL,
    asked_by TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    admitted_ms INTEGER
);
