-- name: item_insert
INSERT INTO queue_items (
    id, status, priority, rank, task, success_criteria, created_at, updated_at, created_ms,
    kind, executor, run_id, max_attempts, claimable
) VALUES (
    :id, 'PENDING', :priority, :rank, :task, :success_criteria, :now_kst, :now_kst, :now,
    :kind, :executor, :run_id, :max_attempts, 1
);

-- name: item_counts
SELECT status, COUNT(*) AS items FROM queue_items GROUP BY status;

-- name: item_renew
-- One statement for everything that a holder holds: a heartbeat is one write, however many items there are.
UPDATE queue_items SET
    beat = beat + 1,
    lease_until_ms = :now + lease_ms,
    lease_expires_at = (:now + lease_ms) / 1000
WHERE lease_owner = :owner_session AND status = 'IN_PROGRESS'
RETURNING id, fence;

-- name: item_end
UPDATE queue_items SET
    status = :status, lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL,
    last_error = :last_error, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS';

-- name: item_give_back
UPDATE queue_items SET
    status = 'PENDING', claimable = 1, fence = fence + 1, attempt_count = attempt_count + :burn,
    owner_session = '-', started_at_kst = '-', started_ms = NULL,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' AND (:any_beat = 1 OR beat = :beat);

-- name: item_park
UPDATE queue_items SET
    status = :status, fence = fence + 1, waits_for = :waits_for,
    claimable = CASE WHEN :status = 'PENDING' AND CAST(:waits_for AS TEXT) IS NULL THEN 1 ELSE 0 END,
    owner_session = CASE WHEN :status = 'PENDING' THEN '-' ELSE owner_session END,
    started_at_kst = CASE WHEN :status = 'PENDING' THEN '-' ELSE started_at_kst END,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL, not_before_ms = NULL,
    notes = CASE WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = :seen_status;

-- name: item_requeue
UPDATE queue_items SET
    status = 'PENDING', attempt_count = attempt_count + 1, not_before_ms = :not_before_ms,
    claimable = CASE WHEN CAST(:not_before_ms AS BIGINT) IS NULL THEN 1 ELSE 0 END,
    owner_session = '-', started_at_kst = '-', started_ms = NULL,
    lease_owner = NULL, lease_expires_at = NULL, lease_until_ms = NULL,
    notes = CASE WHEN notes = '' THEN :note ELSE notes || ' | ' || :note END, updated_at = :now_kst
WHERE id = :id AND fence = :fence AND status = :seen_status;

-- name: item_held
SELECT queue_items.*, worker.host, worker.boot_id, worker.pid, worker.start_time
FROM queue_items LEFT JOIN worker ON worker.id = queue_items.lease_owner
WHERE queue_items.status = 'IN_PROGRESS' AND queue_items.lease_owner IS NOT NULL;

-- name: item_due
SELECT 1 FROM queue_items
WHERE not_before_ms IS NOT NULL AND not_before_ms <= :now AND status = 'PENDING' AND waits_for IS NULL LIMIT 1;

-- name: item_promote
-- Future-dated rows stay out of the claim index until now: 100,000 of them in it cut claims to a fortieth.
UPDATE queue_items SET claimable = 1, not_before_ms = NULL
WHERE not_before_ms IS NOT NULL AND not_before_ms <= :now AND status = 'PENDING' AND waits_for IS NULL;

-- name: worker_register
INSERT INTO worker (id, host, boot_id, pid, start_time, started_ms)
VALUES (:id, :host, :boot_id, :pid, :start_time, :now)
ON CONFLICT (id) DO NOTHING;
