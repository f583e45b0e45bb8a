ALTER TABLE queue_items ADD COLUMN concurrency_key TEXT;

-- Everything that is still open, in the queue's order; what is DONE, nearly all of a large table, stays out.
CREATE INDEX queue_open ON queue_items (status, rank) WHERE status <> 'DONE';
CREATE INDEX queue_order ON queue_items (rank);
-- Of the items of one concurrency key: what may begin (claimable), what waits for its turn, and what is under way.
CREATE INDEX queue_keyed ON queue_items (concurrency_key, claimable, rank)
    WHERE concurrency_key IS NOT NULL AND (claimable = 1 OR waits_for = 'limit');
CREATE INDEX queue_keyed_held ON queue_items (concurrency_key)
    WHERE concurrency_key IS NOT NULL AND status = 'IN_PROGRESS';

-- Counts are kept where the rows change: `status` never scans the table.
CREATE TABLE item_count (status TEXT PRIMARY KEY, items INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO item_count SELECT status, COUNT(*) FROM queue_items GROUP BY status;
CREATE TRIGGER item_counted_in AFTER INSERT ON queue_items BEGIN
    INSERT INTO item_count VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET items = items + 1;
END;
CREATE TRIGGER item_counted_out AFTER DELETE ON queue_items BEGIN
    UPDATE item_count SET items = items - 1 WHERE status = OLD.status;
END;
CREATE TRIGGER item_counted_over AFTER UPDATE OF status ON queue_items WHEN OLD.status <> NEW.status BEGIN
    UPDATE item_count SET items = items - 1 WHERE status = OLD.status;
    INSERT INTO item_count VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET items = items + 1;
END;

-- A key given with `add`: the same key again is the same item.
CREATE TABLE item_key (key TEXT PRIMARY KEY, item_id TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO item_key
    SELECT idempotency_key, id FROM queue_items WHERE idempotency_key <> '' ORDER BY rowid;

-- How many items of one concurrency key may be under way at the same time.
CREATE TABLE concurrency (key TEXT PRIMARY KEY, most INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE queue_pause (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    paused_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER
);

-- The history that seed-1 tools read: a projection of the event log, as far as `projection` says.
CREATE TABLE IF NOT EXISTS queue_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    created_at TEXT NOT NULL,
    FOREIGN KEY (item_id) REFERENCES queue_items (id) ON DELETE CASCADE
);
CREATE INDEX queue_events_item ON queue_events (item_id);
CREATE INDEX queue_events_retried ON queue_events (event_type) WHERE event_type = 'retried';
CREATE TABLE projection (name TEXT PRIMARY KEY, next_index INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO projection VALUES ('queue_events', 0);
