-- Cleaning up and checking what is stored.

-- When the layer was last compared with its blob.
ALTER TABLE layers ADD COLUMN checked_at INTEGER NOT NULL DEFAULT 0;
-- Damaged beyond repair: may be held no more until it is stored again.
ALTER TABLE layers ADD COLUMN broken INTEGER NOT NULL DEFAULT 0 CHECK (broken IN (0, 1));

CREATE INDEX layers_added ON layers (added_at);
CREATE INDEX layers_checked ON layers (checked_at);
CREATE INDEX builds_image ON builds (tool, image);

-- Passes over everything that is stored.
CREATE TABLE scrubs (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Null: the platform's own, now and then.
    asked_by     TEXT,
    began_at     INTEGER NOT NULL,
    ended_at     INTEGER,
    layers       INTEGER NOT NULL DEFAULT 0,
    blobs        INTEGER NOT NULL DEFAULT 0,
    read_bytes   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX scrubs_open ON scrubs (ended_at IS NULL) WHERE ended_at IS NULL;

CREATE TABLE damages (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    scrub    INTEGER NOT NULL REFERENCES scrubs (number),
    -- A layer's diffID or a blob's digest.
    subject  TEXT NOT NULL,
    -- JSON array: which file, and what is wrong with it.
    found    TEXT NOT NULL,
    -- JSON array of `tool v12`.
    users    TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
