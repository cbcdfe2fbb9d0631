-- Ids are UUIDs as text, times microseconds since 1970, words as the Rust types write them.

CREATE TABLE users (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL UNIQUE,
    operator   INTEGER NOT NULL CHECK (operator IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

-- Rows are never removed: id and range_index of a deleted tool are never used again.
CREATE TABLE tools (
    id                TEXT PRIMARY KEY NOT NULL,
    name              TEXT NOT NULL,
    range_index       INTEGER NOT NULL UNIQUE,
    production_branch TEXT,
    wanted            TEXT NOT NULL,
    restarts          INTEGER NOT NULL DEFAULT 0,
    last_run          INTEGER NOT NULL DEFAULT 0,
    last_release      INTEGER NOT NULL DEFAULT 0,
    created_at        INTEGER NOT NULL,
    deleted_at        INTEGER,
    cleared_at        INTEGER
) STRICT;

CREATE UNIQUE INDEX tools_name ON tools (name) WHERE deleted_at IS NULL;

CREATE TABLE members (
    tool  TEXT NOT NULL REFERENCES tools (id),
    user  TEXT NOT NULL REFERENCES users (id),
    role  TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (tool, user)
) STRICT;

CREATE INDEX members_user ON members (user);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user       TEXT NOT NULL REFERENCES users (id),
    kind       TEXT NOT NULL,
    -- The only tool that it reaches; null: all that its user reaches.
    tool       TEXT REFERENCES tools (id),
    label      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    used_at    INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX tokens_user ON tokens (user);

CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    tool    TEXT REFERENCES tools (id),
    target  TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;

CREATE INDEX audit_tool ON audit (tool, number);
