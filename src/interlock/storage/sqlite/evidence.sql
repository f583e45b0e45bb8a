-- name: sealed_found
-- Entries of one stretch of the log, by its own order. There is no index on what is asked for: each would be one more
-- page to write in every transaction (migration 0007). The caller bounds the stretch instead.
SELECT leaf_index, leaf FROM sealed
WHERE leaf_index >= :start AND leaf_index < :end
    AND (:kind = '' OR kind = :kind OR substr(kind, 1, length(:kind) + 1) = :kind || '.')
    AND (:subject = '' OR subject = :subject)
    AND (:outcome = '' OR (kind = 'access.denied') = (:outcome = 'denied'))
    AND (:principal = '' OR instr(leaf, :principal) > 0)
    AND (:text = '' OR leaf LIKE :text ESCAPE '!')
ORDER BY leaf_index DESC LIMIT :limit;
