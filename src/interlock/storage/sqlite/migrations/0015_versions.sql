-- What a draft said in each version that somebody wrote; who wrote it, and why, says the log.
CREATE TABLE draft_version (
    draft_id TEXT NOT NULL REFERENCES draft (id),
    version INTEGER NOT NULL,
    prompt_ref TEXT NOT NULL REFERENCES content (ref),
    content_ref TEXT REFERENCES content (ref),
    context_ref TEXT NOT NULL REFERENCES content (ref),
    work TEXT NOT NULL,
    written_ms INTEGER NOT NULL,
    PRIMARY KEY (draft_id, version)
);
INSERT INTO draft_version
SELECT id, version, prompt_ref, content_ref, context_ref, work, updated_ms FROM draft WHERE status IN ('draft', 'error');

-- What was approved last for the same repository is what a reviewer compares with.
ALTER TABLE approved ADD COLUMN repository TEXT;
UPDATE approved SET repository = json_extract(terms, '$.repository');
CREATE INDEX approved_repository ON approved (repository, seq);
