-- name: fleet_patience
-- A claim that is stuck for longer than this is told of, instead of waited for.
SELECT set_config('lock_timeout', '30s', true);

-- name: fleet_hold
-- Every claim of a node has read these tables, and holds them shared until it ends.
LOCK TABLE node, config_version IN ACCESS EXCLUSIVE MODE;

-- name: leader_check
-- Held until the transaction ends. A leader that is paused inside of it would keep the next one waiting for ever, so its
-- connection is cut instead.
SELECT 1 AS leads, set_config('idle_in_transaction_session_timeout', '5s', true) FROM leader
WHERE role = :role AND holder = :holder AND epoch = :epoch AND expires_ms > :now FOR SHARE;
