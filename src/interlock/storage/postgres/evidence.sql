-- name: sealed_found
-- Entries of one stretch of the log, by its own order. There is no index on what is asked for: each would be one more
-- page to write in every transaction (migration 0007). The caller bounds the stretch instead. OFFSET 0 keeps the planner
-- from turning the join around and reading every event that there is.
SELECT leaf.leaf_index, found.leaf FROM leaf
CROSS JOIN LATERAL (SELECT kind, subject, event.leaf FROM event WHERE event.event_id = leaf.event_id OFFSET 0) AS found
WHERE leaf.leaf_index >= :start AND leaf.leaf_index < :end
    AND (:kind = '' OR kind = :kind OR substr(kind, 1, length(:kind) + 1) = :kind || '.')
    AND (:subject = '' OR subject = :subject)
    AND (:outcome = '' OR (kind = 'access.denied') = (:outcome = 'denied'))
    AND (:principal = '' OR strpos(found.leaf, :principal) > 0)
    AND (:text = '' OR lower(found.leaf COLLATE "C") LIKE :text ESCAPE '!')
ORDER BY leaf.leaf_index DESC LIMIT :limit;
