-- name: item_number
SELECT nextval('item_number') AS value;

-- name: item_number_raise
SELECT setval('item_number', :value) FROM item_number WHERE last_value < :value;

-- name: item_list
SELECT * FROM queue_items
WHERE (rank, seq) > (:after_rank, :after_seq)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:created_before AS BIGINT) IS NULL OR created_ms < :created_before)
    AND (CAST(:text AS TEXT) IS NULL
        OR position(lower(CAST(:text AS TEXT)) IN lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes)) > 0)
ORDER BY rank, seq LIMIT :limit;

-- name: item_list_open
SELECT * FROM queue_items
WHERE (rank, seq) > (:after_rank, :after_seq)
    AND status = :status AND status <> 'DONE'
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:created_before AS BIGINT) IS NULL OR created_ms < :created_before)
    AND (CAST(:text AS TEXT) IS NULL
        OR position(lower(CAST(:text AS TEXT)) IN lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes)) > 0)
ORDER BY rank, seq LIMIT :limit;

-- name: item_counts
SELECT status, CAST(SUM(items) AS BIGINT) AS items FROM (
    SELECT status, items FROM item_count
    UNION ALL SELECT became, 1 FROM item_move WHERE became IS NOT NULL
    UNION ALL SELECT was, -1 FROM item_move WHERE was IS NOT NULL
) AS known GROUP BY status;

-- name: counts_fold
WITH folded AS (
    DELETE FROM item_move
    WHERE seq = ANY (ARRAY(SELECT seq FROM item_move ORDER BY seq LIMIT 5000 FOR UPDATE SKIP LOCKED))
    RETURNING was, became
)
INSERT INTO item_count (status, items)
SELECT status, SUM(items) FROM (
    SELECT became AS status, 1 AS items FROM folded WHERE became IS NOT NULL
    UNION ALL SELECT was, -1 FROM folded WHERE was IS NOT NULL
) AS moves GROUP BY status ORDER BY status
ON CONFLICT (status) DO UPDATE SET items = item_count.items + EXCLUDED.items;

-- name: item_claim
-- The literal `claimable = 1` matches the partial index, which holds nothing else: a claim costs the same at any size.
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = CAST(:now AS BIGINT) + :lease_ms, lease_expires_at = (CAST(:now AS BIGINT) + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE id = (
    SELECT id FROM queue_items
    WHERE claimable = 1 AND executor = :executor
        AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
    ORDER BY rank, seq LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: item_hold
SELECT 1 FROM queue_items WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' FOR UPDATE;

-- name: item_before
-- How many go first; counted up to a bound, because "many" is answer enough.
SELECT COUNT(*) AS items FROM (
    SELECT 1 FROM queue_items WHERE claimable = 1 AND executor = :executor
        AND (rank < :rank OR (rank = :rank AND seq < (SELECT seq FROM queue_items WHERE id = :id))) LIMIT 1000
) AS first;

-- name: concurrency_lock
-- Who changes which items of a key may begin does so alone. A claim does not ask: what it takes was counted before.
SELECT most FROM concurrency WHERE key = :key FOR UPDATE;

-- name: concurrency_lay_down
-- One that is being claimed in this moment stays, and counts as taken below.
UPDATE queue_items SET claimable = 0, waits_for = 'limit'
WHERE id IN (
    SELECT id FROM queue_items WHERE concurrency_key = :key AND status = 'PENDING' AND claimable = 1
    FOR UPDATE SKIP LOCKED
);

-- name: concurrency_take_up
-- Of the items of one key, the first are claimable: as many as may still begin. So a claim never has to look.
UPDATE queue_items SET claimable = 1, waits_for = NULL
WHERE id IN (
    SELECT id FROM queue_items WHERE concurrency_key = :key AND status = 'PENDING' AND waits_for = 'limit'
    ORDER BY rank, seq
    LIMIT (SELECT GREATEST(0, CAST(:most AS BIGINT) - COUNT(*)) FROM queue_items
        WHERE concurrency_key = :key AND (status = 'IN_PROGRESS' OR (status = 'PENDING' AND claimable = 1)))
    FOR UPDATE SKIP LOCKED
);
