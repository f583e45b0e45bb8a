-- name: panic_hold
-- Every transaction that may change something has read this table, and holds it shared until it ends. A writer that is
-- stuck for longer than this is told of, instead of waited for.
SELECT set_config('lock_timeout', '30s', true);

-- name: panic_lock
LOCK TABLE panic IN ACCESS EXCLUSIVE MODE;
