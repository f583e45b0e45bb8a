-- What was last seen of each run's agent: where its process is, when it last printed, what it said of itself.
CREATE TABLE run_pulse (
    run_id TEXT PRIMARY KEY REFERENCES run (id),
    fence INTEGER NOT NULL,
    node_id TEXT,
    host TEXT,
    pid INTEGER,
    start_time INTEGER,
    boot_id TEXT,
    started_ms INTEGER,
    output_ms INTEGER,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    session_id TEXT,
    turns INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cost_microusd INTEGER,
    terminal TEXT,
    terminal_ms INTEGER
);
