-- name: run_add
INSERT INTO run (id, approved_id, item_id, status, generation, created_ms, created_by, correlation_id)
VALUES (:id, :approved_id, :item_id, :status, :generation, :created_ms, :created_by, :correlation_id);

-- name: run_get
SELECT run.*, queue_items.attempt_count FROM run JOIN queue_items ON queue_items.id = run.item_id WHERE run.id = :id;

-- name: run_list
SELECT run.*, queue_items.attempt_count FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE (:any_status = 1 OR run.status = :status) AND run.archived_ms IS NULL
    AND (:any_approved = 1 OR run.approved_id = :approved_id)
    AND (:from_newest = 1 OR run.seq < (SELECT earlier.seq FROM run AS earlier WHERE earlier.id = :before))
ORDER BY run.seq DESC LIMIT :limit;

-- name: run_move
UPDATE run SET
    status = :after, reason = :reason, message = :message,
    started_ms = CASE WHEN :after = 'running' AND started_ms IS NULL THEN :now ELSE started_ms END,
    ended_ms = CASE WHEN :after IN ('done', 'error', 'cancelled') THEN :now ELSE NULL END
WHERE id = :id AND status = :seen;

-- name: run_renew
UPDATE run SET generation = generation + 1, reason = NULL, message = NULL, ended_ms = NULL, result = NULL, rung = NULL
WHERE id = :id RETURNING generation;

-- name: run_ended_before
SELECT run.*, queue_items.attempt_count FROM run JOIN queue_items ON queue_items.id = run.item_id
WHERE run.ended_ms IS NOT NULL AND run.archived_ms IS NULL AND run.ended_ms < :before
ORDER BY run.ended_ms LIMIT :limit;

-- name: run_archive
UPDATE run SET archived_ms = :now WHERE id = :id AND archived_ms IS NULL AND ended_ms IS NOT NULL AND ended_ms < :before;

-- name: run_forget_log
DELETE FROM run_log WHERE run_id = :id;

-- name: run_forget_steps
DELETE FROM run_step WHERE run_id = :id;

-- name: run_result
UPDATE run SET result = :result WHERE id = :id;

-- name: run_rung
UPDATE run SET rung = :rung WHERE id = :id;

-- name: ci_put
INSERT INTO run_ci (run_id, commit_id, succeeded, url, reported_ms, reported_by)
VALUES (:run_id, :commit_id, :succeeded, :url, :reported_ms, :reported_by)
ON CONFLICT (run_id, commit_id) DO UPDATE SET
    succeeded = excluded.succeeded, url = excluded.url, reported_ms = excluded.reported_ms,
    reported_by = excluded.reported_by;

-- name: ci_list
SELECT commit_id, succeeded, url, reported_ms, reported_by FROM run_ci WHERE run_id = :run_id ORDER BY reported_ms;

-- name: step_list
SELECT name, fence, started_ms, ended_ms, output FROM run_step
WHERE run_id = :run_id AND generation = :generation ORDER BY started_ms, name;

-- name: step_begin
INSERT INTO run_step (run_id, generation, name, fence, started_ms) VALUES (:run_id, :generation, :name, :fence, :now)
ON CONFLICT (run_id, generation, name) DO UPDATE SET
    fence = excluded.fence, started_ms = excluded.started_ms, ended_ms = NULL, output = NULL;

-- name: step_end
UPDATE run_step SET fence = :fence, ended_ms = :now, output = :output
WHERE run_id = :run_id AND generation = :generation AND name = :name
RETURNING name, fence, started_ms, ended_ms, output;

-- name: step_places
-- What a worker may still need of earlier claims: runs that have not ended.
SELECT run_step.run_id, run_step.fence FROM run_step JOIN run ON run.id = run_step.run_id
WHERE run.status IN ('pending', 'running')
UNION
SELECT run_id, fence FROM queue_items WHERE status = 'IN_PROGRESS' AND run_id IS NOT NULL;

-- name: log_add
-- One writer at a time holds a run, and operators' lines are few: the next number is the highest and one.
INSERT INTO run_log (run_id, line, ts_ms, level, source, msg)
VALUES (
    :run_id, (SELECT COALESCE(MAX(line), 0) + 1 FROM run_log WHERE run_id = :run_id), :ts_ms, :level, :source, :msg
);

-- name: log_first
SELECT line, ts_ms, level, source, msg FROM run_log WHERE run_id = :run_id AND line > :after ORDER BY line LIMIT :limit;

-- name: log_last
SELECT line, ts_ms, level, source, msg FROM run_log WHERE run_id = :run_id AND line > :after
ORDER BY line DESC LIMIT :limit;

-- name: events_of_run
-- What the log says of a run, and of the approval that it carries out (migration 0012 has the index for both databases).
SELECT leaf_index, leaf FROM sealed
WHERE subject = :run_id AND substr(kind, 1, 4) = 'run.'
ORDER BY leaf_index LIMIT :limit;

-- name: approval_of_draft
SELECT leaf_index, leaf FROM sealed
WHERE subject = :draft_id AND substr(kind, 1, 6) = 'draft.' AND kind = 'draft.approved'
ORDER BY leaf_index;

-- name: pulse_get
SELECT * FROM run_pulse WHERE run_id = :run_id;

-- name: pulse_put
-- A process that was seen under a lower fence never replaces what a later one says.
INSERT INTO run_pulse (
    run_id, fence, node_id, host, pid, start_time, boot_id, started_ms, output_ms, output_bytes, session_id, turns,
    input_tokens, output_tokens, cost_microusd, terminal, terminal_ms, heard_ms
) VALUES (
    :run_id, :fence, :node_id, :host, :pid, :start_time, :boot_id, :started_ms, :output_ms, :output_bytes, :session_id,
    :turns, :input_tokens, :output_tokens, :cost_microusd, :terminal, :terminal_ms, :now
)
ON CONFLICT (run_id) DO UPDATE SET
    fence = excluded.fence, node_id = excluded.node_id, host = excluded.host, pid = excluded.pid,
    start_time = excluded.start_time, boot_id = excluded.boot_id, started_ms = excluded.started_ms,
    output_ms = excluded.output_ms, output_bytes = excluded.output_bytes, session_id = excluded.session_id,
    turns = excluded.turns, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
    cost_microusd = excluded.cost_microusd, terminal = excluded.terminal, terminal_ms = excluded.terminal_ms,
    heard_ms = CASE
        WHEN excluded.fence = run_pulse.fence AND excluded.output_bytes = run_pulse.output_bytes
        THEN run_pulse.heard_ms ELSE excluded.heard_ms
    END
WHERE excluded.fence >= run_pulse.fence;
