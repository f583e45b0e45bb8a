-- What is true of each run that is under way, and what is done about it; and when a run was last heard, by our clock.
CREATE TABLE run_truth (
    run_id TEXT PRIMARY KEY REFERENCES run (id),
    fence BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    action TEXT NOT NULL,
    details TEXT NOT NULL,
    sign TEXT NOT NULL,
    host TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
);
CREATE INDEX run_truth_asks ON run_truth (since_ms, run_id) WHERE action = 'ask';
ALTER TABLE run_pulse ADD COLUMN heard_ms BIGINT;
