-- What is claimed, listed or let begin next is read in the queue's order from an index that holds nothing else. Written
-- as `rank + 0`, that order belongs to these indexes alone: the planner once took `queue_order` for it, and walked past
-- 100,000 items that were DONE before it found the first that was not.
DROP INDEX queue_claimable;
CREATE INDEX queue_claimable ON queue_items (executor, (rank + 0), seq) WHERE claimable = 1;
DROP INDEX queue_open;
CREATE INDEX queue_open ON queue_items (status, (rank + 0), seq) WHERE status <> 'DONE';
DROP INDEX queue_keyed;
CREATE INDEX queue_keyed ON queue_items (concurrency_key, claimable, (rank + 0), seq)
    WHERE concurrency_key IS NOT NULL AND (claimable = 1 OR waits_for = 'limit');

-- Events are asked for by their subject only where a draft is read; for all others the index was one more page to write
-- in every transaction. The queries (approval.sql) say the condition in the same words.
DROP INDEX event_subject;
CREATE INDEX event_of_draft ON event (subject) WHERE substr(kind, 1, 6) = 'draft.';
