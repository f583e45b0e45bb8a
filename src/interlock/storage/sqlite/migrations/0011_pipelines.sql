-- Runs of pipelines: a document that their events made, and beside it what rows are found by.
CREATE TABLE pipeline (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    revision INTEGER NOT NULL,
    line_count INTEGER NOT NULL DEFAULT 0,
    document TEXT NOT NULL
);

CREATE TABLE pipeline_line (
    pipeline_id TEXT NOT NULL REFERENCES pipeline (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    job TEXT NOT NULL,
    stream TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (pipeline_id, line)
) WITHOUT ROWID;

CREATE TABLE deployment (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    status TEXT NOT NULL,
    revision INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX deployment_named ON deployment (name, environment, seq);

-- What humans agreed to: one row for each definition, the last acceptance.
CREATE TABLE acceptance (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- What the log last said of each agent role.
CREATE TABLE pipeline_role (
    name TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    description TEXT NOT NULL
) WITHOUT ROWID;

-- Outcomes are few, and the report is held against all of them. The query (evidence.sql) says the condition in the same words.
CREATE INDEX event_of_outcome ON event (kind) WHERE substr(kind, 1, 19) = 'deployment_outcome.';
