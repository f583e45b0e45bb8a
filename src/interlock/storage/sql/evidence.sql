-- name: log_frontier
SELECT origin, frontier FROM log_state WHERE one = 1;

-- name: sealed_leaves
SELECT leaf FROM sealed WHERE leaf_index >= :start AND leaf_index < :end ORDER BY leaf_index;

-- name: sealed_hashes
SELECT leaf_hash FROM sealed WHERE leaf_index >= :start AND leaf_index < :end ORDER BY leaf_index;

-- name: sealed_events
SELECT leaf_index, kind, subject, time_ms, leaf FROM sealed
WHERE leaf_index >= :start ORDER BY leaf_index LIMIT :limit;

-- name: key_events
SELECT leaf_index, leaf FROM sealed
WHERE substr(kind, 1, 4) = 'key.' AND kind IN ('key.added', 'key.rotated', 'key.retired', 'key.revoked')
ORDER BY leaf_index;

-- name: outcome_events
SELECT leaf_index, leaf_hash, leaf FROM sealed
WHERE substr(kind, 1, 19) = 'deployment_outcome.' AND kind = 'deployment_outcome.recorded'
ORDER BY leaf_index;

-- name: cosignature_add
INSERT INTO cosignature (size, line, added_ms) VALUES (:size, :line, :now) ON CONFLICT (size, line) DO NOTHING;

-- name: cosignature_list
SELECT size, line FROM cosignature ORDER BY size, line;

-- name: head_add
INSERT INTO tree_head (size, root, time_ms, note) VALUES (:size, :root, :time_ms, :note) ON CONFLICT (size) DO NOTHING;

-- name: head_list
SELECT size, root, time_ms, note FROM tree_head ORDER BY size;

-- name: head_last
SELECT size, root, time_ms, note FROM tree_head ORDER BY size DESC LIMIT 1;

-- name: content_standing
SELECT CASE WHEN body IS NULL THEN 1 ELSE 0 END AS erased, erased_ms FROM content WHERE ref = :ref;
