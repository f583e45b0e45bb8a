-- name: alert_add
INSERT INTO alert (
    id, source, category, severity, dedup_key, state, opened_ms, last_ms, count, changes, summary, body, trace_id, sent,
    silenced, by_whom, ended_ms
) VALUES (
    :id, :source, :category, :severity, :dedup_key, :state, :opened_ms, :last_ms, :count, :changes, :summary, :body,
    :trace_id, :sent, :silenced, :by_whom, :ended_ms
);

-- name: alert_put
UPDATE alert
SET severity = :severity, state = :state, last_ms = :last_ms, count = :count, changes = :changes, summary = :summary,
    body = :body, trace_id = :trace_id, sent = :sent, silenced = :silenced, by_whom = :by_whom, ended_ms = :ended_ms
WHERE id = :id AND state <> 'resolved';

-- name: alert_get
SELECT * FROM alert WHERE id = :id;

-- name: alert_by_key
SELECT * FROM alert WHERE dedup_key = :dedup_key AND state <> 'resolved';

-- name: alert_standing_of
SELECT * FROM alert WHERE source = :source AND state <> 'resolved' ORDER BY opened_ms, id;

-- name: alert_silenced_of
SELECT * FROM alert WHERE source = :source AND silenced = 1 AND state <> 'resolved' ORDER BY opened_ms, id;

-- name: alert_standing_category
SELECT * FROM alert WHERE source = :source AND category = :category AND state <> 'resolved' ORDER BY opened_ms, id;

-- name: alert_silenced_sources
SELECT DISTINCT source FROM alert WHERE silenced = 1 AND state <> 'resolved' ORDER BY source;

-- name: alert_list
SELECT * FROM alert
WHERE (
    :state = '' OR state = :state OR (:state = 'standing' AND state <> 'resolved')
    OR (:state = 'silenced' AND silenced = 1 AND state <> 'resolved')
)
    AND (:before = '' OR (opened_ms, id) < (:before_ms, :before))
ORDER BY opened_ms DESC, id DESC
LIMIT :limit;

-- name: alert_history
SELECT leaf FROM sealed WHERE subject = :id ORDER BY leaf_index DESC LIMIT :limit;

-- name: delivery_add
INSERT INTO alert_delivery (
    alert_id, change, sink, action, status, source, category, dedup_key, severity, body, trace_id, target, shown,
    created_ms, next_ms, lease_ms, attempts, reason, http_status, message, delivered_ms
) VALUES (
    :alert_id, :change, :sink, :action, :status, :source, :category, :dedup_key, :severity, :body, :trace_id, :target,
    :shown, :created_ms, :next_ms, 0, 0, NULL, NULL, NULL, NULL
)
ON CONFLICT DO NOTHING;

-- name: delivery_of
SELECT * FROM alert_delivery WHERE alert_id = :alert_id ORDER BY change, sink;

-- name: delivery_sinks
SELECT DISTINCT sink FROM alert_delivery WHERE status = 'pending' AND source = :source ORDER BY sink;

-- name: delivery_sources
SELECT DISTINCT source FROM alert_delivery
WHERE status = 'pending' AND (next_ms <= :now OR next_ms > :horizon) AND (lease_ms <= :now OR lease_ms > :leases)
ORDER BY source;

-- name: delivery_due
SELECT * FROM alert_delivery AS d
WHERE status = 'pending' AND source = :source AND sink = :sink
    AND (next_ms <= :now OR next_ms > :horizon) AND (lease_ms <= :now OR lease_ms > :leases)
    AND NOT EXISTS (
        SELECT 1 FROM alert_delivery AS e
        WHERE e.alert_id = d.alert_id AND e.sink = d.sink AND e.change < d.change AND e.status = 'pending'
    )
ORDER BY created_ms, alert_id, change
LIMIT :limit;

-- name: delivery_hurry
UPDATE alert_delivery SET next_ms = :now WHERE status = 'pending' AND source = :source AND next_ms > :now;

-- name: delivery_claim
UPDATE alert_delivery SET lease_ms = :until, attempts = attempts + 1
WHERE alert_id = :alert_id AND change = :change AND sink = :sink AND status = 'pending'
    AND (lease_ms <= :now OR lease_ms > :leases);

-- name: delivery_done
UPDATE alert_delivery
SET status = :status, lease_ms = 0, next_ms = :next_ms, reason = :reason, http_status = :http_status,
    message = :message, delivered_ms = :delivered_ms
WHERE alert_id = :alert_id AND change = :change AND sink = :sink AND status = 'pending';

-- name: delivery_again
UPDATE alert_delivery SET status = 'pending', next_ms = :now, lease_ms = 0, delivered_ms = NULL
WHERE (alert_id = :alert_id OR :alert_id = '') AND (sink = :sink OR :sink = '')
    AND (status = 'pending' OR (:delivered = 1 AND status = 'delivered'));

-- name: delivery_counts
SELECT sink, status, COUNT(*) AS many FROM alert_delivery GROUP BY sink, status;

-- name: row_copies
SELECT copies FROM alert_row WHERE source = :source AND digest = :digest;

-- name: row_add
INSERT INTO alert_row (source, digest, copies) VALUES (:source, :digest, 1)
ON CONFLICT (source, digest) DO UPDATE SET copies = alert_row.copies + 1;

-- name: waiting_add
INSERT INTO alert_waiting (id, source, body, added_ms) VALUES (:id, :source, :body, :added_ms);

-- name: waiting_of
SELECT id, body FROM alert_waiting WHERE source = :source AND id > :after ORDER BY id LIMIT :limit;

-- name: waiting_sources
SELECT DISTINCT source FROM alert_waiting ORDER BY source;

-- name: waiting_remove
DELETE FROM alert_waiting WHERE id = :id;

-- name: cursor_hold
INSERT INTO alert_cursor (source, file, about, row_count, inode, position, digest, held)
VALUES (:source, '', :about, 0, 0, 0, '', 0)
ON CONFLICT (source, file) DO UPDATE
SET held = alert_cursor.held + 1,
    about = CASE WHEN excluded.about = '' THEN alert_cursor.about ELSE excluded.about END;

-- name: cursor_get
SELECT * FROM alert_cursor WHERE source = :source AND file = :file;

-- name: cursor_about
SELECT about FROM alert_cursor WHERE source = :source AND file = '' AND about <> '';

-- name: cursor_abouts
SELECT source, about FROM alert_cursor WHERE file = '' AND about <> '' ORDER BY source;

-- name: cursor_put
INSERT INTO alert_cursor (source, file, about, row_count, inode, position, digest, held)
VALUES (:source, :file, '', :row_count, :inode, :position, :digest, 0)
ON CONFLICT (source, file) DO UPDATE
SET row_count = excluded.row_count, inode = excluded.inode, position = excluded.position, digest = excluded.digest;

-- name: silence_add
INSERT INTO alert_silence (id, source, category, until_ms, reason, by_whom, created_ms)
VALUES (:id, :source, :category, :until_ms, :reason, :by_whom, :created_ms);

-- name: silence_get
SELECT * FROM alert_silence WHERE id = :id;

-- name: silence_list
SELECT * FROM alert_silence WHERE until_ms > :now ORDER BY until_ms, id;

-- name: silence_end
UPDATE alert_silence SET until_ms = :now WHERE id = :id AND until_ms > :now;

-- name: sink_get
SELECT failures, open_until_ms FROM alert_sink WHERE sink = :sink;

-- name: sink_put
INSERT INTO alert_sink (sink, failures, open_until_ms) VALUES (:sink, :failures, :open_until_ms)
ON CONFLICT (sink) DO UPDATE SET failures = excluded.failures, open_until_ms = excluded.open_until_ms;
