-- name: fleet_patience
-- Whoever writes holds the database's one write lock already.
SELECT 1;

-- name: fleet_hold
SELECT 1;

-- name: leader_check
SELECT 1 AS leads FROM leader WHERE role = :role AND holder = :holder AND epoch = :epoch AND expires_ms > :now;
