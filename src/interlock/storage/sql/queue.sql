-- name: item_insert
INSERT INTO queue_items (
    id, status, priority, rank, task, success_criteria, due_at_kst, notes, created_at, updated_at, created_ms,
    kind, executor, run_id, max_attempts, idempotency_key, concurrency_key, not_before_ms, claimable, waits_for,
    needs, repository, agent, line_ms
) VALUES (
    :id, 'PENDING', :priority, :rank, :task, :success_criteria, :due_at_kst, :notes, :now_kst, :now_kst, :now,
    :kind, :executor, :run_id, :max_attempts, :idempotency_key, :concurrency_key, :not_before_ms, :claimable,
    :waits_for, :needs, :repository, :agent, :now
) ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: item_import
-- A row of a Markdown queue, as it stands there.
INSERT INTO queue_items (
    id, status, priority, rank, task, success_criteria, owner_session, started_at_kst, started_ms, due_at_kst, notes,
    created_at, updated_at, created_ms, line_ms, max_attempts, not_before_ms, claimable
) VALUES (
    :id, :status, :priority, :rank, :task, :success_criteria, :owner_session, :started_at_kst, :started_ms, :due_at_kst,
    :notes, :now_kst, :now_kst, :now, :now, :max_attempts, :not_before_ms, :claimable
) ON CONFLICT (id) DO NOTHING;

-- name: item_take_over
-- The same for a row that is there: the file's word replaces the database's, and whoever holds it loses it.
UPDATE queue_items SET
    status = :status, priority = :priority, rank = :rank, task = :task, success_criteria = :success_criteria,
    owner_session = :owner_session, started_at_kst = :started_at_kst, started_ms = :started_ms,
    due_at_kst = :due_at_kst, notes = :notes, not_before_ms = :not_before_ms,
    claimable = CASE WHEN concurrency_key IS NULL THEN CAST(:claimable AS BIGINT) ELSE 0 END,
    waits_for = CASE WHEN concurrency_key IS NOT NULL AND CAST(:claimable AS BIGINT) = 1 THEN 'limit' END,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, node_id = NULL, line_ms = :now,
    fence = fence + 1, updated_at = :now_kst
WHERE id = :id AND run_id IS NULL
RETURNING *;

-- name: item_key_get
SELECT item_id FROM item_key WHERE key = :key;

-- name: item_key_take
INSERT INTO item_key (key, item_id) VALUES (:key, :item_id) ON CONFLICT (key) DO NOTHING;

-- name: item_key_move
-- The number that was meant for this key was taken by a row that was brought in.
UPDATE item_key SET item_id = :item_id WHERE key = :key;

-- name: item_get
SELECT * FROM queue_items WHERE id = :id;

-- name: item_beat
UPDATE queue_items SET
    beat = beat + 1,
    lease_until_ms = :now + lease_ms,
    lease_expires_at = (:now + lease_ms) / 1000
WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' AND COALESCE(lease_owner, '') <> ''
RETURNING *;

-- name: item_end
UPDATE queue_items SET
    status = :status, lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, node_id = NULL,
    last_error = :last_error, updated_at = :now_kst,
    notes = CASE WHEN :note = '' THEN notes WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END
WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' AND (:any_beat = 1 OR beat = :beat)
RETURNING *;

-- name: item_give_back
UPDATE queue_items SET
    status = 'PENDING', fence = fence + 1, attempt_count = attempt_count + :burn, not_before_ms = :not_before_ms,
    claimable = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NULL THEN 1 ELSE 0 END,
    waits_for = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NOT NULL THEN 'limit' END,
    owner_session = '-', started_at_kst = '-', started_ms = NULL, node_id = NULL, line_ms = :now,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, updated_at = :now_kst,
    last_error = CASE WHEN :last_error = '' THEN last_error ELSE :last_error END,
    notes = CASE WHEN :note = '' THEN notes WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END
WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' AND (:any_beat = 1 OR beat = :beat)
RETURNING *;

-- name: item_park
UPDATE queue_items SET
    status = :status, fence = fence + 1,
    waits_for = CASE
        WHEN CAST(:waits_for AS TEXT) IS NULL AND :status = 'PENDING' AND concurrency_key IS NOT NULL THEN 'limit'
        ELSE CAST(:waits_for AS TEXT)
    END,
    claimable = CASE
        WHEN :status = 'PENDING' AND CAST(:waits_for AS TEXT) IS NULL AND concurrency_key IS NULL THEN 1 ELSE 0
    END,
    owner_session = CASE WHEN :status = 'PENDING' THEN '-' ELSE owner_session END,
    started_at_kst = CASE WHEN :status = 'PENDING' THEN '-' ELSE started_at_kst END,
    started_ms = CASE WHEN :status = 'PENDING' THEN NULL ELSE started_ms END,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, not_before_ms = NULL,
    node_id = NULL, line_ms = :now,
    notes = CASE WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = :seen_status
RETURNING *;

-- name: item_requeue
UPDATE queue_items SET
    status = 'PENDING', attempt_count = attempt_count + 1, fence = fence + 1, not_before_ms = :not_before_ms,
    claimable = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NULL THEN 1 ELSE 0 END,
    waits_for = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NOT NULL THEN 'limit' END,
    owner_session = '-', started_at_kst = '-', started_ms = NULL, node_id = NULL, line_ms = :now,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL,
    notes = CASE WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = :seen_status AND beat = :beat
RETURNING *;

-- name: item_defer
UPDATE queue_items SET
    not_before_ms = :not_before_ms, line_ms = :now,
    claimable = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NULL THEN 1 ELSE 0 END,
    waits_for = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL AND concurrency_key IS NOT NULL THEN 'limit' END,
    notes = CASE WHEN :note = '' THEN notes WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END,
    updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = 'PENDING' AND COALESCE(waits_for, 'limit') = 'limit'
RETURNING *;

-- name: item_rank
UPDATE queue_items SET
    priority = :priority, rank = :rank, line_ms = :now, updated_at = :now_kst,
    notes = CASE WHEN :note = '' THEN notes WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END
WHERE id = :id AND fence = :fence AND status = :seen_status AND priority = :seen_priority
RETURNING *;

-- name: item_held
SELECT queue_items.*, worker.host, worker.boot_id, worker.pid, worker.start_time
FROM queue_items LEFT JOIN worker ON worker.id = queue_items.lease_owner
WHERE queue_items.status = 'IN_PROGRESS' AND queue_items.lease_owner IS NOT NULL;

-- name: item_holders
-- Said twice, so that the index of what is open is known to hold all that is asked for.
SELECT owner_session, COUNT(*) AS items, MIN(queue_items.id) AS first_id, MIN(queue_items.started_ms) AS since_ms,
    MIN(lease_until_ms) AS lease_until_ms, MAX(worker.host) AS host, MAX(worker.pid) AS pid
FROM queue_items LEFT JOIN worker ON worker.id = queue_items.lease_owner
WHERE queue_items.status = 'IN_PROGRESS' AND queue_items.status <> 'DONE'
GROUP BY owner_session ORDER BY owner_session LIMIT :limit;

-- name: item_unleased
-- Claimed by a tool that takes no leases, so long ago that nobody can be at it any more.
SELECT * FROM queue_items
WHERE status = 'IN_PROGRESS' AND lease_owner IS NULL AND COALESCE(started_ms, 0) <= :started_before;

-- name: item_stale_count
SELECT COUNT(*) AS items FROM queue_items WHERE status = 'IN_PROGRESS' AND started_ms <= :started_before;

-- name: item_waiting
SELECT 1 FROM queue_items WHERE claimable = 1 AND executor = :executor LIMIT 1;

-- name: item_due
SELECT 1 FROM queue_items
WHERE not_before_ms IS NOT NULL AND not_before_ms <= :now AND status = 'PENDING' AND waits_for IS NULL LIMIT 1;

-- name: concurrency_add
INSERT INTO concurrency (key, most) VALUES (:key, :most) ON CONFLICT (key) DO NOTHING;

-- name: concurrency_set
INSERT INTO concurrency (key, most) VALUES (:key, :most) ON CONFLICT (key) DO UPDATE SET most = :most;

-- name: concurrency_list
SELECT key, most,
    (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = key AND status = 'IN_PROGRESS') AS held,
    (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = key AND (claimable = 1 OR waits_for = 'limit')) AS pending
FROM concurrency ORDER BY key;

-- name: concurrency_unsettled
-- Keys of which more could begin than may: whoever should have let them begin was cut off in between.
WITH RECURSIVE waiting (key) AS (
    SELECT first.concurrency_key FROM (
        SELECT concurrency_key FROM queue_items
        WHERE concurrency_key IS NOT NULL AND waits_for = 'limit' ORDER BY concurrency_key LIMIT 1
    ) AS first
    UNION ALL
    SELECT (
        SELECT concurrency_key FROM queue_items
        WHERE concurrency_key > waiting.key AND waits_for = 'limit' ORDER BY concurrency_key LIMIT 1
    ) FROM waiting WHERE waiting.key IS NOT NULL
)
SELECT key FROM waiting
WHERE (SELECT most FROM concurrency WHERE concurrency.key = waiting.key)
    > (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = waiting.key AND status = 'IN_PROGRESS')
    + (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = waiting.key AND claimable = 1)
LIMIT :limit;

-- name: concurrency_holders
SELECT id, owner_session FROM queue_items
WHERE concurrency_key = :key AND status = 'IN_PROGRESS' ORDER BY started_ms LIMIT 20;

-- name: placement_any
SELECT 1 FROM placement_limit LIMIT 1;

-- name: placement_list
SELECT key, most FROM placement_limit ORDER BY key;

-- name: placement_insert
INSERT INTO placement_limit (key, most) VALUES (:key, :most) ON CONFLICT (key) DO NOTHING;

-- name: placement_update
UPDATE placement_limit SET most = :most WHERE key = :key;

-- name: placement_remove
DELETE FROM placement_limit WHERE key = :key;

-- name: placement_held_repository
SELECT COUNT(*) AS items FROM queue_items WHERE repository = :name AND repository <> '' AND status = 'IN_PROGRESS';

-- name: placement_held_agent
SELECT COUNT(*) AS items FROM queue_items WHERE agent = :name AND agent <> '' AND status = 'IN_PROGRESS';

-- name: placement_held_node
SELECT COUNT(*) AS items FROM queue_items WHERE node_id = :name AND node_id IS NOT NULL AND status = 'IN_PROGRESS';

-- name: placement_holders_repository
SELECT id, owner_session FROM queue_items
WHERE repository = :name AND repository <> '' AND status = 'IN_PROGRESS' ORDER BY started_ms LIMIT 20;

-- name: placement_holders_agent
SELECT id, owner_session FROM queue_items
WHERE agent = :name AND agent <> '' AND status = 'IN_PROGRESS' ORDER BY started_ms LIMIT 20;

-- name: placement_holders_node
SELECT id, owner_session FROM queue_items
WHERE node_id = :name AND node_id IS NOT NULL AND status = 'IN_PROGRESS' ORDER BY started_ms LIMIT 20;

-- name: item_ageing
-- Whether any item has waited so long that it counts as one priority higher.
SELECT 1 FROM queue_items WHERE claimable = 1 AND rank > 1 AND line_ms <= :before LIMIT 1;

-- name: pause_get
SELECT paused_by, reason, since_ms, until_ms FROM queue_pause;

-- name: pause_set
INSERT INTO queue_pause (one, paused_by, reason, since_ms, until_ms) VALUES (1, :paused_by, :reason, :now, :until_ms)
ON CONFLICT (one) DO UPDATE SET paused_by = :paused_by, reason = :reason, since_ms = :now, until_ms = :until_ms;

-- name: pause_clear
DELETE FROM queue_pause;

-- name: worker_register
INSERT INTO worker (id, host, boot_id, pid, start_time, started_ms)
VALUES (:id, :host, :boot_id, :pid, :start_time, :now)
ON CONFLICT (id) DO NOTHING;

-- name: history_next
SELECT next_index FROM projection WHERE name = 'queue_events';

-- name: history_add
INSERT INTO queue_events (item_id, event_type, payload_json, created_at)
SELECT id, :event_type, :payload_json, :created_at FROM queue_items WHERE id = :item_id;

-- name: history_advance
UPDATE projection SET next_index = :after WHERE name = 'queue_events' AND next_index = :before;

-- name: history_retries
-- What is projected, and what is not yet.
SELECT (SELECT COUNT(*) FROM queue_events WHERE event_type = 'retried')
    + (SELECT COUNT(*) FROM sealed
        WHERE leaf_index >= (SELECT next_index FROM projection WHERE name = 'queue_events')
        AND kind IN ('item.retried', 'item.rescued', 'item.returned')) AS retries;

-- name: trend_add
INSERT INTO queue_minute (minute, what, amount) VALUES (:minute, :what, :amount)
ON CONFLICT (minute, what) DO UPDATE SET amount = queue_minute.amount + EXCLUDED.amount;

-- name: trend_sum
SELECT slot, what, CAST(SUM(amount) AS BIGINT) AS amount FROM (
    SELECT (minute - :first) / :step AS slot, what, amount FROM queue_minute WHERE minute >= :first
) AS cut GROUP BY slot, what;

-- name: trend_untaken
-- What happened since the history was projected last.
SELECT time_ms, leaf FROM sealed
WHERE leaf_index >= (SELECT next_index FROM projection WHERE name = 'queue_events') ORDER BY leaf_index LIMIT :limit;
