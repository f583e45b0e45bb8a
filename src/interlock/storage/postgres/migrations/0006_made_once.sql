-- What was made under a key that its maker chose, so that asking again makes nothing more. Kept for a day.
CREATE TABLE made_once (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    subject TEXT NOT NULL,
    made_ms BIGINT NOT NULL,
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX made_once_time ON made_once (made_ms);
