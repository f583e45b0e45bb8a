-- name: item_number
SELECT nextval('item_number') AS value;

-- name: item_number_raise
SELECT setval('item_number', :value) FROM item_number WHERE last_value < :value;

-- name: item_list
SELECT * FROM queue_items
WHERE (rank, seq) > (:after_rank, :after_seq) AND (rank, seq) <= (:until_rank, :until_seq)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:repository AS TEXT) IS NULL OR repository = :repository)
    AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
    AND (CAST(:node_id AS TEXT) IS NULL OR node_id = :node_id)
    AND (CAST(:need AS TEXT) IS NULL OR CAST(:need AS TEXT) = ANY (string_to_array(needs, ' ')))
    AND (CAST(:created_before AS BIGINT) IS NULL OR created_ms < :created_before)
    AND (CAST(:text AS TEXT) IS NULL
        OR position(lower(CAST(:text AS TEXT)) IN lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes)) > 0)
ORDER BY rank, seq LIMIT :limit;

-- name: item_list_open
-- `rank + 0`, here and below: the order of an index that holds only what is open, and of no other (0007_indexes).
SELECT * FROM queue_items
WHERE (rank + 0, seq) > (:after_rank, :after_seq) AND (rank + 0, seq) <= (:until_rank, :until_seq)
    AND status = :status AND status <> 'DONE'
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:repository AS TEXT) IS NULL OR repository = :repository)
    AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
    AND (CAST(:node_id AS TEXT) IS NULL OR node_id = :node_id)
    AND (CAST(:need AS TEXT) IS NULL OR CAST(:need AS TEXT) = ANY (string_to_array(needs, ' ')))
    AND (CAST(:created_before AS BIGINT) IS NULL OR created_ms < :created_before)
    AND (CAST(:text AS TEXT) IS NULL
        OR position(lower(CAST(:text AS TEXT)) IN lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes)) > 0)
ORDER BY rank + 0, seq LIMIT :limit;

-- name: item_count_of
SELECT status, COUNT(*) AS items FROM queue_items
WHERE (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:repository AS TEXT) IS NULL OR repository = :repository)
    AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
    AND (CAST(:node_id AS TEXT) IS NULL OR node_id = :node_id)
    AND (CAST(:need AS TEXT) IS NULL OR CAST(:need AS TEXT) = ANY (string_to_array(needs, ' ')))
    AND (CAST(:created_before AS BIGINT) IS NULL OR created_ms < :created_before)
    AND (CAST(:text AS TEXT) IS NULL
        OR position(lower(CAST(:text AS TEXT)) IN lower(id || ' ' || task || ' ' || success_criteria || ' ' || notes)) > 0)
GROUP BY status;

-- name: item_meant
-- Who is meant, and as what: all that a verb for many needs to know of each before its turn comes.
SELECT id, status, fence, run_id FROM queue_items
WHERE (CAST(:status AS TEXT) IS NULL OR status = :status)
    AND (CAST(:priority AS TEXT) IS NULL OR priority = :priority)
    AND (CAST(:owner AS TEXT) IS NULL OR owner_session = :owner)
    AND (CAST(:repository AS TEXT) IS NULL OR repository = :repository)
    AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
    AND (CAST(:node_id AS TEXT) IS NULL OR node_id = :node_id)
    AND (CAST(:need AS TEXT) IS NULL OR CAST(:need AS TEXT) = ANY (string_to_array(needs, ' ')))
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

-- name: counts_unfolded
SELECT 1 FROM item_move LIMIT 1;

-- name: counts_fold
WITH taken AS (
    DELETE FROM item_move
    WHERE seq = ANY (ARRAY(SELECT seq FROM item_move ORDER BY seq LIMIT 5000 FOR UPDATE SKIP LOCKED))
    RETURNING was, became
), added AS (
    INSERT INTO item_count (status, items)
    SELECT status, SUM(items) FROM (
        SELECT became AS status, 1 AS items FROM taken WHERE became IS NOT NULL
        UNION ALL SELECT was, -1 FROM taken WHERE was IS NOT NULL
    ) AS moves GROUP BY status ORDER BY status
    ON CONFLICT (status) DO UPDATE SET items = item_count.items + EXCLUDED.items
)
SELECT COUNT(*) AS folded FROM taken;

-- name: item_claim
-- FOR NO KEY UPDATE, here and below: the history's rows point to items, and a stronger lock would skip an item that is
-- free, or wait for it, only because its history is just written.
-- The literal `claimable = 1` matches the partial index, which holds nothing else: a claim costs the same at any size.
-- This one is for who has no labels, where there are no limits.
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = CAST(:node_id AS TEXT),
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = CAST(:now AS BIGINT) + :lease_ms, lease_expires_at = (CAST(:now AS BIGINT) + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE id = (
    SELECT id FROM queue_items
    WHERE claimable = 1 AND executor = :executor AND needs = ''
        AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
        AND NOT EXISTS (SELECT 1 FROM placement_limit)
    ORDER BY rank + 0, seq LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING *;

-- name: item_claim_able
-- For who has labels: of each lane, that is of all items that need the same, the head; of those that it may take, the
-- first. From one lane to the next goes one look into the index, however many items stand in it. Where others are
-- taking from that lane, it gives nothing that would come after the head of another one (`lane_heads` finds that).
WITH RECURSIVE head (needs, rank, seq) AS (
    (SELECT needs, rank, seq FROM queue_items
        WHERE claimable = 1 AND executor = :executor ORDER BY needs, rank + 0, seq LIMIT 1)
    UNION ALL
    SELECT following.needs, following.rank, following.seq FROM head CROSS JOIN LATERAL (
        SELECT needs, rank, seq FROM queue_items
        WHERE claimable = 1 AND executor = :executor AND needs > head.needs ORDER BY needs, rank + 0, seq LIMIT 1
    ) AS following
), lane AS (
    SELECT needs, rank, seq FROM head
    WHERE string_to_array(needs, ' ') <@ string_to_array(CAST(:has AS TEXT), ' ') ORDER BY rank, seq LIMIT 2
)
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = CAST(:node_id AS TEXT),
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = CAST(:now AS BIGINT) + :lease_ms, lease_expires_at = (CAST(:now AS BIGINT) + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE id = (
    SELECT id FROM queue_items
    WHERE claimable = 1 AND executor = :executor AND needs = (SELECT needs FROM lane ORDER BY rank, seq LIMIT 1)
        AND rank + 0 <= (SELECT CASE WHEN COUNT(*) = 1 THEN 100 ELSE MAX(rank) END FROM lane)
        AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
        AND NOT EXISTS (SELECT 1 FROM placement_limit)
    ORDER BY rank + 0, seq LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING *;

-- name: lane_heads
-- Where there are limits, or others are quicker: the head of each lane of what needs the same and counts towards the
-- same limits.
WITH RECURSIVE head (needs, repository, agent, rank, seq) AS (
    (SELECT needs, repository, agent, rank, seq FROM queue_items
        WHERE claimable = 1 AND executor = :executor
            AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
        ORDER BY needs, repository, agent, rank + 0, seq LIMIT 1)
    UNION ALL
    SELECT following.* FROM head CROSS JOIN LATERAL (
        SELECT needs, repository, agent, rank, seq FROM queue_items
        WHERE claimable = 1 AND executor = :executor
            AND (needs, repository, agent) > (head.needs, head.repository, head.agent)
        ORDER BY needs, repository, agent, rank + 0, seq LIMIT 1
    ) AS following
)
SELECT needs, repository, agent, rank, seq FROM head ORDER BY rank, seq;

-- name: item_claim_in
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = CAST(:node_id AS TEXT),
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = CAST(:now AS BIGINT) + :lease_ms, lease_expires_at = (CAST(:now AS BIGINT) + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE id = (
    SELECT id FROM queue_items
    WHERE claimable = 1 AND executor = :executor AND needs = :needs AND repository = :repository AND agent = :agent
        AND rank + 0 <= :rank
    ORDER BY rank + 0, seq LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING *;

-- name: placement_lock
-- Who takes one of the items that a limit counts does so alone, until it has committed: so they are counted exactly.
SELECT most FROM placement_limit WHERE key = :key FOR NO KEY UPDATE;

-- name: placement_hush
-- A claim that began before the limit was there has ended, and the next one sees it: every claim writes to this table.
LOCK TABLE queue_items IN SHARE ROW EXCLUSIVE MODE;

-- name: item_age
UPDATE queue_items SET rank = CASE WHEN rank > 2 THEN 2 ELSE rank - 1 END, line_ms = line_ms + :span
WHERE id = ANY (ARRAY(
    SELECT id FROM queue_items WHERE claimable = 1 AND rank > 1 AND line_ms <= :before
    ORDER BY line_ms LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
));

-- name: item_renew
-- One statement for everything that a holder holds: a heartbeat is one write, however many items there are. Who locks
-- several items does so in the order of their ids, or two could wait for each other. `= ANY (ARRAY(…))`, here and below:
-- with IN, the planner may guess that it gets a tenth of the table, and go through all of it.
UPDATE queue_items SET
    beat = beat + 1,
    lease_until_ms = :now + lease_ms,
    lease_expires_at = (:now + lease_ms) / 1000
WHERE id = ANY (ARRAY(
    SELECT id FROM queue_items WHERE lease_owner = :owner_session AND status = 'IN_PROGRESS'
    ORDER BY id FOR NO KEY UPDATE
))
RETURNING id, fence;

-- name: item_hold
SELECT 1 FROM queue_items WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS' FOR NO KEY UPDATE;

-- name: item_before
-- How many go first; counted up to a bound, because "many" is answer enough.
SELECT COUNT(*) AS items FROM (
    SELECT 1 FROM queue_items WHERE claimable = 1 AND executor = :executor AND needs = :needs
        AND (rank + 0, seq) < (:rank, (SELECT seq FROM queue_items WHERE id = :id)) LIMIT 1000
) AS first;

-- name: item_promote
-- Future-dated rows stay out of the claim index until now: 100,000 of them in it cut claims to a fortieth.
UPDATE queue_items SET
    claimable = CASE WHEN concurrency_key IS NULL THEN 1 ELSE 0 END,
    waits_for = CASE WHEN concurrency_key IS NULL THEN NULL ELSE 'limit' END,
    line_ms = not_before_ms, not_before_ms = NULL
WHERE id = ANY (ARRAY(
    SELECT id FROM queue_items
    WHERE not_before_ms IS NOT NULL AND not_before_ms <= :now AND status = 'PENDING' AND waits_for IS NULL
    ORDER BY not_before_ms LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
))
RETURNING concurrency_key;

-- name: concurrency_lock
-- Who changes which items of a key may begin does so alone. A claim does not ask: what it takes was counted before.
SELECT most FROM concurrency WHERE key = :key FOR NO KEY UPDATE;

-- name: concurrency_lay_down
-- Of the items of one key, the first are claimable: as many as may still begin. So a claim never has to look.
-- One that is being claimed in this moment stays, and counts as taken below.
UPDATE queue_items SET claimable = 0, waits_for = 'limit'
WHERE id = ANY (ARRAY(
    SELECT id FROM queue_items WHERE concurrency_key = :key AND claimable = 1 AND id NOT IN (
        SELECT id FROM (
            SELECT id, rank, seq FROM queue_items WHERE concurrency_key = :key AND claimable = 1
            UNION ALL
            (SELECT id, rank, seq FROM queue_items
                WHERE concurrency_key = :key AND claimable = 0 AND waits_for = 'limit'
                ORDER BY rank + 0, seq LIMIT :most)
        ) AS known
        ORDER BY rank + 0, seq
        LIMIT (SELECT GREATEST(0, CAST(:most AS BIGINT) - COUNT(*)) FROM queue_items
            WHERE concurrency_key = :key AND status = 'IN_PROGRESS')
    )
    FOR NO KEY UPDATE SKIP LOCKED
));

-- name: concurrency_take_up
UPDATE queue_items SET claimable = 1, waits_for = NULL
WHERE id = ANY (ARRAY(
    SELECT id FROM queue_items WHERE concurrency_key = :key AND claimable = 0 AND waits_for = 'limit'
    ORDER BY rank + 0, seq
    LIMIT (SELECT GREATEST(0, CAST(:most AS BIGINT)
        - (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = :key AND status = 'IN_PROGRESS')
        - (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = :key AND claimable = 1)))
    FOR NO KEY UPDATE SKIP LOCKED
));
