-- What became of items, minute by minute, added up where the history is projected: figures over time never look at the
-- events again, however many there are. `what` is a kind of move, a status whose count moved, or a class of durations.
CREATE TABLE queue_minute (
    minute INTEGER NOT NULL,
    what TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (minute, what)
) WITHOUT ROWID;
