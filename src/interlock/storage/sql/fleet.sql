-- name: node_get
SELECT node.*, (
    SELECT COUNT(*) FROM queue_items WHERE queue_items.node_id = node.id AND queue_items.status = 'IN_PROGRESS'
) AS held
FROM node WHERE node.id = :id;

-- name: node_list
SELECT node.*, (
    SELECT COUNT(*) FROM queue_items WHERE queue_items.node_id = node.id AND queue_items.status = 'IN_PROGRESS'
) AS held
FROM node ORDER BY node.name, node.id;

-- name: node_join
INSERT INTO node (id, name, host, boot_id, version, capabilities, labels, concurrency, state, since_ms, joined_ms,
    heartbeat_ms)
VALUES (:id, :name, :host, :boot_id, :version, :capabilities, :labels, :concurrency, 'active', :now, :now, :now)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, host = excluded.host, boot_id = excluded.boot_id,
    version = excluded.version, capabilities = excluded.capabilities, labels = excluded.labels,
    concurrency = excluded.concurrency, heartbeat_ms = excluded.heartbeat_ms, beat = node.beat + 1, left_ms = NULL;

-- name: node_beat
UPDATE node SET heartbeat_ms = :now, beat = beat + 1, left_ms = NULL, config_version = :config_version, notice = :notice
WHERE id = :id;

-- name: node_leave
UPDATE node SET left_ms = :now, beat = beat + 1 WHERE id = :id;

-- name: node_move
UPDATE node SET state = :state, reason = :reason, changed_by = :changed_by, since_ms = :now WHERE id = :id;

-- name: node_lose
UPDATE node SET lost_ms = :now, lost_beat = beat WHERE id = :id AND beat = :beat AND lost_ms IS NULL;

-- name: node_find
UPDATE node SET lost_ms = NULL, lost_beat = NULL WHERE id = :id AND lost_ms IS NOT NULL AND beat > lost_beat;

-- name: node_forget
DELETE FROM node WHERE id = :id;

-- name: node_state
SELECT state FROM node WHERE id = :id;

-- name: node_admit
SELECT node.state, node.reason, (SELECT MAX(version) FROM config_version) AS newest FROM node WHERE node.id = :id;

-- name: leader_get
SELECT * FROM leader WHERE role = :role;

-- name: leader_list
SELECT * FROM leader ORDER BY role;

-- name: leader_first
INSERT INTO leader (role, holder, host, boot_id, pid, start_time, epoch, expires_ms)
VALUES (:role, :holder, :host, :boot_id, :pid, :start_time, 1, :now + :lease_ms)
ON CONFLICT DO NOTHING;

-- name: leader_take
UPDATE leader SET holder = :holder, host = :host, boot_id = :boot_id, pid = :pid, start_time = :start_time,
    epoch = epoch + 1, expires_ms = :now + :lease_ms
WHERE role = :role AND epoch = :seen AND (expires_ms <= :now OR :dead = 1);

-- name: leader_renew
UPDATE leader SET expires_ms = :now + :lease_ms WHERE role = :role AND holder = :holder AND epoch = :epoch;

-- name: leader_release
UPDATE leader SET expires_ms = 0 WHERE holder = :holder AND expires_ms > 0;

-- name: config_newest
SELECT MAX(version) AS newest FROM config_version;

-- name: config_get
SELECT * FROM config_version WHERE version = :version;

-- name: config_list
SELECT * FROM config_version ORDER BY version DESC LIMIT :most;

-- name: config_add
INSERT INTO config_version (version, digest, body, reason, published_by, published_ms)
VALUES (:version, :digest, :body, :reason, :published_by, :now)
ON CONFLICT DO NOTHING;

-- name: key_ask
INSERT INTO key_asked (name, vkey, reason, envelope, asked_by, asked_ms)
VALUES (:name, :vkey, :reason, :envelope, :asked_by, :now)
ON CONFLICT DO NOTHING;

-- name: key_waiting
SELECT * FROM key_asked WHERE admitted_ms IS NULL ORDER BY asked_ms, name LIMIT 100;

-- name: key_admitted
UPDATE key_asked SET admitted_ms = :now WHERE name = :name AND admitted_ms IS NULL;
