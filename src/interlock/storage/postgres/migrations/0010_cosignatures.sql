-- What witnesses said of the log's heads: signature lines, which anybody can check.
CREATE TABLE cosignature (
    size BIGINT NOT NULL REFERENCES tree_head (size),
    line TEXT NOT NULL,
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (size, line)
);

-- Changes of keys are few, and asked for all at once. The query (evidence.sql) says the condition in the same words.
CREATE INDEX event_of_key ON event (kind) WHERE substr(kind, 1, 4) = 'key.';

-- With what a text is erased: a draft's earlier texts are named by no row any more.
ALTER TABLE content ADD COLUMN belongs_to TEXT;
CREATE INDEX content_of ON content (belongs_to) WHERE belongs_to IS NOT NULL;
