-- name: panic_hold
-- Whoever writes holds the database's one write lock already.
SELECT 1;

-- name: panic_lock
SELECT 1;
