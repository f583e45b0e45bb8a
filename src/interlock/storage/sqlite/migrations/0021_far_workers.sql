-- What a worker that calls over HTTP has sent of a claim's output: a batch that comes again is not written again.
CREATE TABLE far_log (
    item_id TEXT PRIMARY KEY,
    fence INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    chars INTEGER NOT NULL
);

-- Bodies that come in parts, until the step that names them is complete.
CREATE TABLE far_part (
    item_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    ref TEXT NOT NULL,
    place INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (item_id, fence, ref, place)
);
