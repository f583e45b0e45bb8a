-- name: item_number
UPDATE counter SET value = value + 1 WHERE name = 'item' RETURNING value;

-- name: item_number_raise
UPDATE counter SET value = :value WHERE name = 'item' AND value < :value;

-- name: item_list
SELECT *, rowid AS seq FROM queue_items
WHERE (rank, rowid) > (:after_rank, :after_seq)
    AND (:status IS NULL OR status = :status)
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR instr(lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes), lower(:text)) > 0)
ORDER BY rank, rowid LIMIT :limit;

-- name: item_list_open
SELECT *, rowid AS seq FROM queue_items
WHERE (rank, rowid) > (:after_rank, :after_seq)
    AND status = :status AND status <> 'DONE'
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR instr(lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes), lower(:text)) > 0)
ORDER BY rank, rowid LIMIT :limit;

-- name: item_counts
SELECT status, items FROM item_count;

-- name: counts_fold
-- Nothing is folded here: the triggers keep the counts themselves.
SELECT 0 AS items WHERE 0;

-- name: item_claim
-- The literal `claimable = 1` matches the partial index, which holds nothing else: a claim costs the same at any size.
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = :now + :lease_ms, lease_expires_at = (:now + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE rowid = (
    SELECT rowid FROM queue_items
    WHERE claimable = 1 AND executor = :executor
        AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
    ORDER BY rank, rowid LIMIT 1
)
RETURNING *;

-- name: item_hold
SELECT 1 FROM queue_items WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS';

-- name: item_before
-- How many go first; counted up to a bound, because "many" is answer enough.
SELECT COUNT(*) AS items FROM (
    SELECT 1 FROM queue_items WHERE claimable = 1 AND executor = :executor
        AND (rank < :rank OR (rank = :rank AND rowid < (SELECT rowid FROM queue_items WHERE id = :id))) LIMIT 1000
) AS first;

-- name: concurrency_lock
SELECT most FROM concurrency WHERE key = :key;

-- name: concurrency_lay_down
UPDATE queue_items SET claimable = 0, waits_for = 'limit'
WHERE concurrency_key = :key AND status = 'PENDING' AND claimable = 1;

-- name: concurrency_take_up
-- Of the items of one key, the first are claimable: as many as may still begin. So a claim never has to look.
UPDATE queue_items SET claimable = 1, waits_for = NULL
WHERE rowid IN (
    SELECT rowid FROM queue_items WHERE concurrency_key = :key AND status = 'PENDING' AND waits_for = 'limit'
    ORDER BY rank, rowid
    LIMIT MAX(0, :most - (SELECT COUNT(*) FROM queue_items
        WHERE concurrency_key = :key AND (status = 'IN_PROGRESS' OR (status = 'PENDING' AND claimable = 1))))
);
