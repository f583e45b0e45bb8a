-- What waits for a person is little among much that does not; each of these holds nothing else.
CREATE INDEX draft_waiting ON draft (updated_ms) WHERE status = 'draft';
CREATE INDEX approved_expiring ON approved (expires_ms) WHERE expires_ms IS NOT NULL AND revoked_ms IS NULL;
CREATE INDEX run_running ON run (started_ms) WHERE status = 'running';
CREATE INDEX run_pending ON run (created_ms) WHERE status = 'pending';
CREATE INDEX run_failed ON run (ended_ms) WHERE status = 'error' AND archived_ms IS NULL;
CREATE INDEX pipeline_named ON pipeline (name, seq);
CREATE INDEX pipeline_failed ON pipeline (seq) WHERE status = 'Failed';
CREATE INDEX alert_open ON alert (opened_ms) WHERE state = 'open';
CREATE INDEX alert_looked_after ON alert (dedup_key) WHERE by_whom IS NOT NULL;

-- Since when a loop is judged as it is. The query (inbox.sql) says the condition in the same words.
CREATE INDEX event_of_loop ON event (subject) WHERE substr(kind, 1, 5) = 'loop.';
