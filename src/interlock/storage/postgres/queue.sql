-- name: item_number
SELECT nextval('item_number') AS value;

-- name: item_get
SELECT * FROM queue_items WHERE id = :id;

-- name: item_list
SELECT * FROM queue_items WHERE (CAST(:status AS TEXT) IS NULL OR status = :status) ORDER BY rank, seq LIMIT :limit;

-- name: item_claim
-- The literal `claimable = 1` matches the partial index, which holds nothing else; so a claim costs the same at any size.
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = CAST(:now AS BIGINT) + :lease_ms, lease_expires_at = (CAST(:now AS BIGINT) + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE id = (
    SELECT id FROM queue_items WHERE claimable = 1 AND executor = :executor ORDER BY rank, seq LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: item_hold
SELECT 1 FROM queue_items WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' FOR UPDATE;
