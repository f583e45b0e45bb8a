-- Events are asked for by their subject only where a draft is read; for all others the index was one more page to write
-- in every transaction. The queries (approval.sql) say the condition in the same words.
DROP INDEX event_subject;
CREATE INDEX event_of_draft ON event (subject) WHERE substr(kind, 1, 6) = 'draft.';
