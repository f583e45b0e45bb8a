-- name: watch_add
INSERT INTO loop_watch (id, repo, loop, added_ms, added_by) VALUES (:id, :repo, :loop, :added_ms, :added_by)
ON CONFLICT DO NOTHING;

-- name: watch_get
SELECT * FROM loop_watch WHERE id = :id;

-- name: watch_list
SELECT * FROM loop_watch ORDER BY added_ms, id;

-- name: watch_remove
DELETE FROM loop_watch WHERE id = :id;
