-- A run's receipt shows what the log says of it; so far only drafts were asked for by their events.
CREATE INDEX event_of_run ON event (subject) WHERE substr(kind, 1, 4) = 'run.';
