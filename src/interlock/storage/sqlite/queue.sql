-- name: item_number
UPDATE counter SET value = value + 1 WHERE name = 'item' RETURNING value;

-- name: item_number_raise
UPDATE counter SET value = :value WHERE name = 'item' AND value < :value;

-- name: item_list
-- LIKE on each text takes a third of the time that a search in all of them joined together does.
SELECT *, rowid AS seq FROM queue_items
WHERE (rank, rowid) > (:after_rank, :after_seq) AND (rank, rowid) <= (:until_rank, :until_seq)
    AND (:status IS NULL OR status = :status)
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:repository IS NULL OR repository = :repository)
    AND (:agent IS NULL OR agent = :agent)
    AND (:node_id IS NULL OR node_id = :node_id)
    AND (:need IS NULL OR instr(' ' || needs || ' ', ' ' || :need || ' ') > 0)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR id LIKE :pattern ESCAPE '\' OR task LIKE :pattern ESCAPE '\'
        OR success_criteria LIKE :pattern ESCAPE '\' OR notes LIKE :pattern ESCAPE '\')
ORDER BY rank, rowid LIMIT :limit;

-- name: item_list_open
SELECT *, rowid AS seq FROM queue_items
WHERE (rank, rowid) > (:after_rank, :after_seq) AND (rank, rowid) <= (:until_rank, :until_seq)
    AND status = :status AND status <> 'DONE'
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:repository IS NULL OR repository = :repository)
    AND (:agent IS NULL OR agent = :agent)
    AND (:node_id IS NULL OR node_id = :node_id)
    AND (:need IS NULL OR instr(' ' || needs || ' ', ' ' || :need || ' ') > 0)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR id LIKE :pattern ESCAPE '\' OR task LIKE :pattern ESCAPE '\'
        OR success_criteria LIKE :pattern ESCAPE '\' OR notes LIKE :pattern ESCAPE '\')
ORDER BY rank, rowid LIMIT :limit;

-- name: item_count_of
SELECT status, COUNT(*) AS items FROM queue_items
WHERE (:status IS NULL OR status = :status)
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:repository IS NULL OR repository = :repository)
    AND (:agent IS NULL OR agent = :agent)
    AND (:node_id IS NULL OR node_id = :node_id)
    AND (:need IS NULL OR instr(' ' || needs || ' ', ' ' || :need || ' ') > 0)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR id LIKE :pattern ESCAPE '\' OR task LIKE :pattern ESCAPE '\'
        OR success_criteria LIKE :pattern ESCAPE '\' OR notes LIKE :pattern ESCAPE '\')
GROUP BY status;

-- name: item_meant
-- Who is meant, and as what: all that a verb for many needs to know of each before its turn comes.
SELECT id, status, fence, run_id FROM queue_items
WHERE (:status IS NULL OR status = :status)
    AND (:priority IS NULL OR priority = :priority)
    AND (:owner IS NULL OR owner_session = :owner)
    AND (:repository IS NULL OR repository = :repository)
    AND (:agent IS NULL OR agent = :agent)
    AND (:node_id IS NULL OR node_id = :node_id)
    AND (:need IS NULL OR instr(' ' || needs || ' ', ' ' || :need || ' ') > 0)
    AND (:created_before IS NULL OR created_ms < :created_before)
    AND (:text IS NULL OR id LIKE :pattern ESCAPE '\' OR task LIKE :pattern ESCAPE '\'
        OR success_criteria LIKE :pattern ESCAPE '\' OR notes LIKE :pattern ESCAPE '\')
ORDER BY rank, rowid LIMIT :limit;

-- name: item_counts
SELECT status, items FROM item_count;

-- name: counts_unfolded
-- Nothing is folded here: the triggers keep the counts themselves.
SELECT 1 WHERE 0;

-- name: counts_fold
SELECT 0 AS folded;

-- name: item_claim
-- The literal `claimable = 1` matches the partial index, which holds nothing else: a claim costs the same at any size.
-- This one is for who has no labels, where there are no limits; a limit of 0, because as a condition it would be asked
-- of every row again.
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = :node_id,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = :now + :lease_ms, lease_expires_at = (:now + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE rowid = (
    SELECT rowid FROM queue_items
    WHERE claimable = 1 AND executor = :executor AND needs = '' ORDER BY rank, rowid
    LIMIT (
        NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
        AND NOT EXISTS (SELECT 1 FROM placement_limit)
    )
)
RETURNING *;

-- name: item_claim_able
-- For who has labels: of each lane, that is of all items that need the same, the head; of those that it may take, the
-- first. From one lane to the next goes one look into the index, however many items stand in it. CROSS JOIN, here and
-- below: in this order and no other, whatever is known of the tables. The head's columns are asked for one by one, or a
-- filter over all items is made for them (a Bloom filter, after ANALYZE).
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = :node_id,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = :now + :lease_ms, lease_expires_at = (:now + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE rowid = (
    WITH RECURSIVE head (place) AS (
        SELECT (
            SELECT rowid FROM queue_items WHERE claimable = 1 AND executor = :executor ORDER BY needs, rank, rowid LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT rowid FROM queue_items
            WHERE claimable = 1 AND executor = :executor AND needs > known.needs ORDER BY needs, rank, rowid LIMIT 1
        ) FROM head CROSS JOIN queue_items AS known ON known.rowid = head.place
    )
    SELECT place FROM (
        SELECT place, (SELECT needs FROM queue_items WHERE rowid = place) AS needs,
            (SELECT rank FROM queue_items WHERE rowid = place) AS rank
        FROM head WHERE place IS NOT NULL
    )
    WHERE (needs = '' OR NOT EXISTS (
            SELECT 1 FROM json_each('["' || replace(needs, ' ', '","') || '"]') AS need
            WHERE instr(' ' || :has || ' ', ' ' || need.value || ' ') = 0
        ))
        AND NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now)
        AND NOT EXISTS (SELECT 1 FROM placement_limit)
    ORDER BY rank, place LIMIT 1
)
RETURNING *;

-- name: lane_heads
-- Where there are limits: the head of each lane of what needs the same and counts towards the same limits. Written as
-- (needs, repository, agent) > (…), it would go through all that need the same.
WITH RECURSIVE head (place) AS (
    SELECT (
        SELECT rowid FROM queue_items
        WHERE claimable = 1 AND executor = :executor ORDER BY needs, repository, agent, rank, rowid
        LIMIT (NOT EXISTS (SELECT 1 FROM queue_pause WHERE until_ms IS NULL OR until_ms > :now))
    )
    UNION ALL
    SELECT COALESCE((
        SELECT rowid FROM queue_items
        WHERE claimable = 1 AND executor = :executor
            AND needs = known.needs AND repository = known.repository AND agent > known.agent
        ORDER BY agent, rank, rowid LIMIT 1
    ), (
        SELECT rowid FROM queue_items
        WHERE claimable = 1 AND executor = :executor AND needs = known.needs AND repository > known.repository
        ORDER BY repository, agent, rank, rowid LIMIT 1
    ), (
        SELECT rowid FROM queue_items
        WHERE claimable = 1 AND executor = :executor AND needs > known.needs
        ORDER BY needs, repository, agent, rank, rowid LIMIT 1
    )) FROM head CROSS JOIN queue_items AS known ON known.rowid = head.place
)
SELECT first.needs, first.repository, first.agent, first.rank, first.rowid AS seq
FROM head LEFT JOIN queue_items AS first ON first.rowid = head.place WHERE head.place IS NOT NULL
ORDER BY first.rank, first.rowid;

-- name: item_claim_in
UPDATE queue_items SET
    status = 'IN_PROGRESS', claimable = 0, fence = fence + 1, node_id = :node_id,
    owner_session = :owner_session, lease_owner = :owner_session, lease_ms = :lease_ms,
    lease_until_ms = :now + :lease_ms, lease_expires_at = (:now + :lease_ms) / 1000,
    started_ms = :now, started_at_kst = :now_kst, updated_at = :now_kst
WHERE rowid = (
    SELECT rowid FROM queue_items
    WHERE claimable = 1 AND executor = :executor AND needs = :needs AND repository = :repository AND agent = :agent
        AND rank <= :rank
    ORDER BY rank, rowid LIMIT 1
)
RETURNING *;

-- name: placement_lock
SELECT most FROM placement_limit WHERE key = :key;

-- name: placement_hush
-- Nobody claims meanwhile: who writes here is alone.
SELECT 1;

-- name: item_age
UPDATE queue_items SET rank = CASE WHEN rank > 2 THEN 2 ELSE rank - 1 END, line_ms = line_ms + :span
WHERE rowid IN (
    SELECT rowid FROM queue_items WHERE claimable = 1 AND rank > 1 AND line_ms <= :before ORDER BY line_ms LIMIT :limit
);

-- name: item_renew
-- One statement for everything that a holder holds: a heartbeat is one write, however many items there are.
UPDATE queue_items SET
    beat = beat + 1,
    lease_until_ms = :now + lease_ms,
    lease_expires_at = (:now + lease_ms) / 1000
WHERE lease_owner = :owner_session AND status = 'IN_PROGRESS'
RETURNING id, fence;

-- name: item_hold
SELECT 1 FROM queue_items WHERE id = :id AND fence = :fence AND status = 'IN_PROGRESS';

-- name: item_before
-- How many go first; counted up to a bound, because "many" is answer enough.
SELECT COUNT(*) AS items FROM (
    SELECT 1 FROM queue_items WHERE claimable = 1 AND executor = :executor AND needs = :needs
        AND (rank < :rank OR (rank = :rank AND rowid < (SELECT rowid FROM queue_items WHERE id = :id))) LIMIT 1000
) AS first;

-- name: item_promote
-- Future-dated rows stay out of the claim index until now: 100,000 of them in it cut claims to a fortieth.
UPDATE queue_items SET
    claimable = CASE WHEN concurrency_key IS NULL THEN 1 ELSE 0 END,
    waits_for = CASE WHEN concurrency_key IS NULL THEN NULL ELSE 'limit' END,
    line_ms = not_before_ms, not_before_ms = NULL
WHERE rowid IN (
    SELECT rowid FROM queue_items
    WHERE not_before_ms IS NOT NULL AND not_before_ms <= :now AND status = 'PENDING' AND waits_for IS NULL
    ORDER BY not_before_ms LIMIT :limit
)
RETURNING concurrency_key;

-- name: concurrency_lock
SELECT most FROM concurrency WHERE key = :key;

-- name: concurrency_lay_down
-- Of the items of one key, the first are claimable: as many as may still begin. So a claim never has to look.
UPDATE queue_items SET claimable = 0, waits_for = 'limit'
WHERE concurrency_key = :key AND claimable = 1 AND rowid NOT IN (
    SELECT rowid FROM (
        SELECT rowid, rank FROM queue_items WHERE concurrency_key = :key AND claimable = 1
        UNION ALL
        SELECT rowid, rank FROM (
            SELECT rowid, rank FROM queue_items WHERE concurrency_key = :key AND claimable = 0 AND waits_for = 'limit'
            ORDER BY rank, rowid LIMIT :most
        )
    )
    ORDER BY rank, rowid
    LIMIT MAX(0, :most - (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = :key AND status = 'IN_PROGRESS'))
);

-- name: concurrency_take_up
UPDATE queue_items SET claimable = 1, waits_for = NULL
WHERE rowid IN (
    SELECT rowid FROM queue_items WHERE concurrency_key = :key AND claimable = 0 AND waits_for = 'limit'
    ORDER BY rank, rowid
    LIMIT MAX(0, :most
        - (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = :key AND status = 'IN_PROGRESS')
        - (SELECT COUNT(*) FROM queue_items WHERE concurrency_key = :key AND claimable = 1))
);
