ALTER TABLE queue_items ADD COLUMN concurrency_key TEXT;

-- Everything that is still open, in the queue's order; what is DONE, nearly all of a large table, stays out.
CREATE INDEX queue_open ON queue_items (status, rank, seq) WHERE status <> 'DONE';
CREATE INDEX queue_order ON queue_items (rank, seq);
-- Of the items of one concurrency key: what may begin (claimable), what waits for its turn, and what is under way.
CREATE INDEX queue_keyed ON queue_items (concurrency_key, claimable, rank, seq)
    WHERE concurrency_key IS NOT NULL AND (claimable = 1 OR waits_for = 'limit');
CREATE INDEX queue_keyed_held ON queue_items (concurrency_key)
    WHERE concurrency_key IS NOT NULL AND status = 'IN_PROGRESS';

-- Counts: moves are only ever inserted, so that nobody waits for a counter's row, and folded into it later.
CREATE TABLE item_count (status TEXT PRIMARY KEY, items BIGINT NOT NULL);
INSERT INTO item_count SELECT status, COUNT(*) FROM queue_items GROUP BY status;
CREATE TABLE item_move (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, was TEXT, became TEXT);
CREATE FUNCTION item_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO item_move (was, became) VALUES (
        CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE OLD.status END,
        CASE WHEN TG_OP = 'DELETE' THEN NULL ELSE NEW.status END
    );
    RETURN NULL;
END $$;
CREATE TRIGGER item_counted_in_out AFTER INSERT OR DELETE ON queue_items FOR EACH ROW EXECUTE FUNCTION item_moved();
CREATE TRIGGER item_counted_over AFTER UPDATE OF status ON queue_items FOR EACH ROW
    WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION item_moved();

-- A key given with `add`: the same key again is the same item.
CREATE TABLE item_key (key TEXT PRIMARY KEY, item_id TEXT NOT NULL);
INSERT INTO item_key
    SELECT idempotency_key, id FROM queue_items WHERE idempotency_key <> '' ORDER BY seq ON CONFLICT DO NOTHING;

-- How many items of one concurrency key may be under way at the same time.
CREATE TABLE concurrency (key TEXT PRIMARY KEY, most BIGINT NOT NULL);

CREATE TABLE queue_pause (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    paused_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    until_ms BIGINT
);

-- The history that seed-1 tools read: a projection of the event log, as far as `projection` says.
CREATE TABLE IF NOT EXISTS queue_events (
    event_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id TEXT NOT NULL REFERENCES queue_items (id) ON DELETE CASCADE,
    event_type TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX queue_events_item ON queue_events (item_id);
CREATE INDEX queue_events_retried ON queue_events (event_type) WHERE event_type = 'retried';
CREATE TABLE projection (name TEXT PRIMARY KEY, next_index BIGINT NOT NULL);
INSERT INTO projection VALUES ('queue_events', 0);
