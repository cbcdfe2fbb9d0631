-- Pushes, runs and steps: history and queue at once.

CREATE TABLE pushes (
    id         TEXT PRIMARY KEY NOT NULL,
    tool       TEXT NOT NULL REFERENCES tools (id),
    ref_name   TEXT NOT NULL,
    old        TEXT,
    commit_id  TEXT NOT NULL,
    user       TEXT NOT NULL REFERENCES users (id),
    production INTEGER NOT NULL CHECK (production IN (0, 1)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
    id         TEXT PRIMARY KEY NOT NULL,
    tool       TEXT NOT NULL REFERENCES tools (id),
    number     INTEGER NOT NULL,
    push       TEXT NOT NULL REFERENCES pushes (id),
    user       TEXT NOT NULL REFERENCES users (id),
    state      TEXT NOT NULL,
    cancel     TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    UNIQUE (tool, number)
) STRICT;

CREATE INDEX runs_open ON runs (tool) WHERE ended_at IS NULL;
CREATE INDEX runs_push ON runs (push);

CREATE TABLE steps (
    id         TEXT PRIMARY KEY NOT NULL,
    run        TEXT NOT NULL REFERENCES runs (id),
    position   INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    -- JSON array of the kinds that must be done before.
    needs      TEXT NOT NULL,
    -- One at a time per tool.
    exclusive  INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
    state      TEXT NOT NULL,
    -- JSON, of a failed step.
    failure    TEXT,
    -- JSON, of a done step.
    outputs    TEXT,
    faults     INTEGER NOT NULL DEFAULT 0,
    -- Counted up by each claim; whoever shows an older one has lost it.
    fence      INTEGER NOT NULL DEFAULT 0,
    worker     TEXT,
    until      INTEGER,
    not_before INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER,
    heard_at   INTEGER,
    ended_at   INTEGER,
    UNIQUE (run, kind),
    UNIQUE (run, position)
) STRICT;

CREATE INDEX steps_moving ON steps (state) WHERE state IN ('ready', 'running');
