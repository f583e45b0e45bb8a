-- What the supervisor looks after: one loop of a repository, or with an empty name all of them.
CREATE TABLE loop_watch (
    id TEXT PRIMARY KEY,
    repo TEXT NOT NULL,
    loop TEXT NOT NULL,
    added_ms BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    UNIQUE (repo, loop)
);
