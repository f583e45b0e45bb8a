-- name: inbox_drafts
SELECT draft.id, draft.version, draft.author, draft.updated_ms, substr(prompt.body, 1, 400) AS prompt
FROM draft JOIN content AS prompt ON prompt.ref = draft.prompt_ref
WHERE draft.status = 'draft' ORDER BY draft.updated_ms, draft.id LIMIT :limit;

-- name: inbox_expiring
-- Nothing was ever made of them; the last quarter of their time has begun, or the last hour.
SELECT approved.id, approved.draft_id, approved.approved_by, approved.approved_ms, approved.expires_ms,
    substr(prompt.body, 1, 400) AS prompt
FROM approved JOIN content AS prompt ON prompt.ref = approved.prompt_ref
WHERE approved.expires_ms IS NOT NULL AND approved.revoked_ms IS NULL
    AND approved.expires_ms > :now AND approved.expires_ms <= :soon
    AND (approved.expires_ms <= :at_once OR 4 * (approved.expires_ms - :now) <= approved.expires_ms - approved.approved_ms)
    AND NOT EXISTS (SELECT 1 FROM run WHERE run.approved_id = approved.id)
ORDER BY approved.expires_ms, approved.id LIMIT :limit;

-- name: inbox_running
SELECT run.id, run.item_id, run.approved_id, run.started_ms, queue_items.lease_owner, queue_items.priority,
    (SELECT run_log.ts_ms FROM run_log WHERE run_log.run_id = run.id ORDER BY run_log.line DESC LIMIT 1) AS last_ms
FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE run.status = 'running' AND run.started_ms < :before ORDER BY run.started_ms, run.id LIMIT :limit;

-- name: inbox_pending
SELECT run.id, run.item_id, run.approved_id, run.created_ms, queue_items.priority
FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE run.status = 'pending' AND run.created_ms < :before ORDER BY run.created_ms, run.id LIMIT :limit;

-- name: inbox_failed
-- Nobody has made another run of the same record since, and nobody has said that they look after it.
SELECT run.id, run.item_id, run.approved_id, run.ended_ms, run.reason, run.message, queue_items.priority
FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE run.status = 'error' AND run.archived_ms IS NULL AND run.ended_ms >= :since
    AND NOT EXISTS (SELECT 1 FROM run AS later WHERE later.approved_id = run.approved_id AND later.seq > run.seq)
    AND NOT EXISTS (
        SELECT 1 FROM alert
        WHERE alert.dedup_key = CAST(:alert AS TEXT) || run.id AND alert.by_whom IS NOT NULL
            AND alert.opened_ms >= run.ended_ms
    )
ORDER BY run.ended_ms, run.id LIMIT :limit;

-- name: inbox_pipelines
-- The last run of its name, and nobody has said that they look after it.
SELECT pipeline.id, pipeline.name, pipeline.document FROM pipeline
WHERE pipeline.status = 'Failed'
    AND NOT EXISTS (SELECT 1 FROM pipeline AS later WHERE later.name = pipeline.name AND later.seq > pipeline.seq)
    AND NOT EXISTS (
        SELECT 1 FROM alert
        WHERE alert.dedup_key IN (CAST(:failed AS TEXT) || pipeline.id, CAST(:refused AS TEXT) || pipeline.id)
            AND alert.by_whom IS NOT NULL AND alert.state <> 'resolved'
    )
ORDER BY pipeline.seq LIMIT :limit;

-- name: inbox_alerts
SELECT id, source, category, severity, opened_ms, summary, body FROM alert
WHERE id IN (
    SELECT id FROM alert WHERE state = 'open'
    ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, opened_ms, id LIMIT :limit
)
ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, opened_ms, id;

-- name: inbox_judged
SELECT leaf FROM event
WHERE subject = :subject AND substr(kind, 1, 5) = 'loop.' AND kind = 'loop.judged' ORDER BY time_ms DESC LIMIT 20;
