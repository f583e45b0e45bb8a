-- name: truth_held
-- All that is held, with everything that the database knows of it: one look, however many there are.
SELECT queue_items.*, worker.host, worker.boot_id, worker.pid, worker.start_time,
    run.approved_id AS run_approved_id,
    step.name AS step_name, step.started_ms AS step_ms,
    pulse.fence AS pulse_fence, pulse.host AS agent_host, pulse.pid AS agent_pid,
    pulse.start_time AS agent_start_time, pulse.boot_id AS agent_boot_id, node.lost_ms AS node_lost_ms,
    pulse.heard_ms, pulse.output_bytes, pulse.input_tokens, pulse.output_tokens, pulse.cost_microusd, pulse.terminal,
    truth.fence AS truth_fence, truth.verdict AS truth_verdict, truth.reason AS truth_reason,
    truth.action AS truth_action, truth.details AS truth_details, truth.sign AS truth_sign, truth.host AS truth_host,
    truth.since_ms AS truth_since_ms, truth.seen_ms AS truth_seen_ms
FROM queue_items
LEFT JOIN worker ON worker.id = queue_items.lease_owner
LEFT JOIN run ON run.id = queue_items.run_id
LEFT JOIN run_step AS step ON step.run_id = run.id AND step.generation = run.generation
    AND step.ended_ms IS NULL AND step.fence = queue_items.fence
LEFT JOIN run_pulse AS pulse ON pulse.run_id = run.id
LEFT JOIN run_truth AS truth ON truth.run_id = run.id
LEFT JOIN node ON node.id = queue_items.node_id
WHERE queue_items.status = 'IN_PROGRESS' AND queue_items.lease_owner IS NOT NULL
    AND (:any_run = 1 OR queue_items.run_id = :run_id);

-- name: truth_state
-- Where a run of which processes were found stands.
SELECT run.id, run.status, run.ended_ms, queue_items.fence FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE run.id = :run_id;

-- name: truth_get
SELECT * FROM run_truth WHERE run_id = :run_id;

-- name: truth_list
SELECT run_truth.* FROM run_truth JOIN run ON run.id = run_truth.run_id
WHERE run.status = 'running' OR run_truth.verdict = 'zombie'
ORDER BY run_truth.since_ms, run_truth.run_id LIMIT :limit;

-- name: truth_asks
SELECT run_truth.*, run.item_id, run.approved_id, queue_items.lease_owner, queue_items.priority
FROM run_truth JOIN run ON run.id = run_truth.run_id JOIN queue_items ON queue_items.id = run.item_id
WHERE run_truth.action = 'ask'
    AND (run_truth.verdict = 'zombie' OR (run.status = 'running' AND run_truth.fence = queue_items.fence))
ORDER BY run_truth.since_ms, run_truth.run_id LIMIT :limit;

-- name: truth_over
-- Verdicts on runs that have ended: what is left of a run is told anew as long as it is there.
SELECT run_truth.* FROM run_truth JOIN run ON run.id = run_truth.run_id
WHERE run.status NOT IN ('running', 'pending')
    OR (run.status = 'pending' AND run_truth.verdict IN ('zombie', 'stale_fence'))
ORDER BY run_truth.run_id LIMIT :limit;

-- name: truth_add
INSERT INTO run_truth (run_id, fence, verdict, reason, action, details, sign, host, since_ms, seen_ms)
VALUES (:run_id, :fence, :verdict, :reason, :action, :details, :sign, :host, :now, :now)
ON CONFLICT (run_id) DO NOTHING;

-- name: truth_put
-- Only what was seen is replaced: of two who look at the same time, one does.
UPDATE run_truth SET
    fence = :fence, verdict = :verdict, reason = :reason, action = :action, details = :details, sign = :sign,
    host = :host, seen_ms = :now,
    since_ms = CASE WHEN verdict = :verdict AND reason = :reason AND fence = :fence THEN since_ms ELSE :now END
WHERE run_id = :run_id AND fence = :seen_fence AND verdict = :seen_verdict AND action = :seen_action
    AND sign = :seen_sign AND reason = :seen_reason;

-- name: truth_drop
DELETE FROM run_truth WHERE run_id = :run_id AND fence = :fence AND verdict = :verdict;
