-- When a run that ended long ago was put into the archive: its log and steps are there and not here any more.
ALTER TABLE run ADD COLUMN archived_ms BIGINT;
DROP INDEX run_ended;
CREATE INDEX run_ended ON run (ended_ms) WHERE ended_ms IS NOT NULL AND archived_ms IS NULL;
