-- What an item asks of the node that takes it (labels, sorted, a space between), what a limit can count it by, and the
-- node that holds it now.
ALTER TABLE queue_items ADD COLUMN needs TEXT NOT NULL DEFAULT '';
ALTER TABLE queue_items ADD COLUMN repository TEXT NOT NULL DEFAULT '';
ALTER TABLE queue_items ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE queue_items ADD COLUMN node_id TEXT;
-- Since when it stands in line at its rank: its age there.
ALTER TABLE queue_items ADD COLUMN line_ms INTEGER NOT NULL DEFAULT 0;
UPDATE queue_items SET line_ms = created_ms WHERE status = 'PENDING';
-- Of runs that have not ended, what was approved.
UPDATE queue_items SET
    repository = COALESCE((
        SELECT SUBSTR(json_extract(approved.terms, '$.repository'), 1, 1024)
        FROM run JOIN approved ON approved.id = run.approved_id WHERE run.id = queue_items.run_id
    ), ''),
    agent = 'command'
WHERE run_id IS NOT NULL AND status <> 'DONE';

-- Whoever takes an item reads the head of each lane that it may take from: items that need the same are one lane. So a
-- million that need what a node has not cost it one look. Where limits are, a lane is of one repository and agent too.
DROP INDEX queue_claimable;
CREATE INDEX queue_claimable ON queue_items (executor, needs, rank) WHERE claimable = 1;
CREATE INDEX queue_placed ON queue_items (executor, needs, repository, agent, rank) WHERE claimable = 1;
-- What can still count as one priority higher by waiting.
CREATE INDEX queue_ageing ON queue_items (line_ms) WHERE claimable = 1 AND rank > 1;
CREATE INDEX queue_held_repository ON queue_items (repository) WHERE status = 'IN_PROGRESS' AND repository <> '';
CREATE INDEX queue_held_agent ON queue_items (agent) WHERE status = 'IN_PROGRESS' AND agent <> '';
CREATE INDEX queue_held_node ON queue_items (node_id) WHERE status = 'IN_PROGRESS' AND node_id IS NOT NULL;

-- How many items of a `repository:…`, `agent:…` or `node:…` may be under way at the same time.
CREATE TABLE placement_limit (key TEXT PRIMARY KEY, most INTEGER NOT NULL) WITHOUT ROWID;
