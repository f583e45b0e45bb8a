-- What is the matter, from its beginning to its end.
CREATE TABLE alert (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    category TEXT NOT NULL,
    severity TEXT NOT NULL,
    dedup_key TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'resolved')),
    opened_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    count BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    summary TEXT NOT NULL,
    body TEXT NOT NULL,
    trace_id TEXT,
    sent TEXT NOT NULL,
    silenced INTEGER NOT NULL,
    by_whom TEXT,
    ended_ms BIGINT
);
CREATE UNIQUE INDEX alert_standing ON alert (dedup_key) WHERE state <> 'resolved';
CREATE INDEX alert_newest ON alert (opened_ms DESC, id DESC);
CREATE INDEX alert_by_source ON alert (source) WHERE state <> 'resolved';
CREATE INDEX alert_silenced ON alert (source) WHERE silenced = 1 AND state <> 'resolved';

-- The outbox: one message for one sink, pending until it is taken.
CREATE TABLE alert_delivery (
    alert_id TEXT NOT NULL REFERENCES alert (id),
    change BIGINT NOT NULL,
    sink TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('trigger', 'resolve')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'skipped')),
    source TEXT NOT NULL,
    category TEXT NOT NULL,
    dedup_key TEXT NOT NULL,
    severity TEXT NOT NULL,
    body TEXT NOT NULL,
    trace_id TEXT,
    target TEXT NOT NULL,
    shown TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    lease_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    reason TEXT,
    http_status BIGINT,
    message TEXT,
    delivered_ms BIGINT,
    PRIMARY KEY (alert_id, change, sink)
);
CREATE INDEX alert_outbox ON alert_delivery (source, sink, created_ms, alert_id, change) WHERE status = 'pending';

-- Which rows of a source came in, by their bytes; the text only of those that could not be routed yet.
CREATE TABLE alert_row (
    source TEXT NOT NULL,
    digest TEXT NOT NULL,
    copies BIGINT NOT NULL,
    PRIMARY KEY (source, digest)
);
CREATE TABLE alert_waiting (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    body TEXT NOT NULL,
    added_ms BIGINT NOT NULL
);
CREATE INDEX alert_waiting_of ON alert_waiting (source, id);

-- How far a source was read.
CREATE TABLE alert_cursor (
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    about TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    inode BIGINT NOT NULL,
    position BIGINT NOT NULL,
    digest TEXT NOT NULL,
    held BIGINT NOT NULL,
    PRIMARY KEY (source, file)
);

CREATE TABLE alert_silence (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    category TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    reason TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- How each sink has behaved lately, for every process that sends.
CREATE TABLE alert_sink (
    sink TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    open_until_ms BIGINT NOT NULL
);
