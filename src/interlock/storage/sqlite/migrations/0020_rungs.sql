-- How well each run is proven done, and what the project's CI said of commits.
ALTER TABLE run ADD COLUMN rung TEXT;

CREATE TABLE run_ci (
    run_id TEXT NOT NULL REFERENCES run (id),
    commit_id TEXT NOT NULL,
    succeeded INTEGER NOT NULL,
    url TEXT NOT NULL,
    reported_ms INTEGER NOT NULL,
    reported_by TEXT NOT NULL,
    PRIMARY KEY (run_id, commit_id)
);
