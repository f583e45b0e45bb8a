-- What was last seen of each run's agent: where its process is, when it last printed, what it said of itself.
CREATE TABLE run_pulse (
    run_id TEXT PRIMARY KEY REFERENCES run (id),
    fence BIGINT NOT NULL,
    node_id TEXT,
    host TEXT,
    pid BIGINT,
    start_time BIGINT,
    boot_id TEXT,
    started_ms BIGINT,
    output_ms BIGINT,
    output_bytes BIGINT NOT NULL DEFAULT 0,
    session_id TEXT,
    turns BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cost_microusd BIGINT,
    terminal TEXT,
    terminal_ms BIGINT
);
