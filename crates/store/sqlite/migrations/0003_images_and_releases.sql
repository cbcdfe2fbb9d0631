-- What builds made, what was released and what is deployed.

CREATE TABLE layers (
    diff_id    TEXT PRIMARY KEY NOT NULL,
    blob       TEXT NOT NULL,
    blob_bytes INTEGER NOT NULL,
    tree_bytes INTEGER NOT NULL,
    -- Being removed: may be held no more.
    retiring   INTEGER NOT NULL DEFAULT 0 CHECK (retiring IN (0, 1)),
    added_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE layer_use (
    holder  TEXT NOT NULL,
    diff_id TEXT NOT NULL REFERENCES layers (diff_id),
    -- Null: until released.
    until   INTEGER,
    PRIMARY KEY (holder, diff_id)
) STRICT;

CREATE INDEX layer_use_layer ON layer_use (diff_id);

CREATE TABLE images (
    tool       TEXT NOT NULL REFERENCES tools (id),
    digest     TEXT NOT NULL,
    run        TEXT NOT NULL REFERENCES runs (id),
    config     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tool, digest)
) STRICT;

CREATE TABLE image_layers (
    tool       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    -- From the bottom, from 0.
    position   INTEGER NOT NULL,
    diff_id    TEXT NOT NULL REFERENCES layers (diff_id),
    blob       TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (tool, digest, position),
    FOREIGN KEY (tool, digest) REFERENCES images (tool, digest)
) STRICT;

CREATE INDEX image_layers_layer ON image_layers (diff_id);

-- What the next build of a ref starts from.
CREATE TABLE builds (
    tool     TEXT NOT NULL,
    ref_name TEXT NOT NULL,
    image    TEXT NOT NULL,
    metadata TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tool, ref_name),
    FOREIGN KEY (tool, image) REFERENCES images (tool, digest)
) STRICT;

CREATE TABLE releases (
    tool       TEXT NOT NULL REFERENCES tools (id),
    number     INTEGER NOT NULL,
    run        TEXT NOT NULL UNIQUE REFERENCES runs (id),
    processes  TEXT NOT NULL,
    config     TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tool, number)
) STRICT;

CREATE TABLE environments (
    tool    TEXT NOT NULL,
    name    TEXT NOT NULL,
    current INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (tool, name),
    FOREIGN KEY (tool, current) REFERENCES releases (tool, number)
) STRICT;

CREATE TABLE deployments (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    tool        TEXT NOT NULL,
    environment TEXT NOT NULL,
    release     INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    FOREIGN KEY (tool, release) REFERENCES releases (tool, number)
) STRICT;

CREATE INDEX deployments_environment ON deployments (tool, environment, number);

CREATE TABLE replicas (
    id          TEXT PRIMARY KEY NOT NULL,
    tool        TEXT NOT NULL,
    environment TEXT NOT NULL,
    release     INTEGER NOT NULL,
    process     TEXT NOT NULL,
    sandbox     TEXT NOT NULL UNIQUE,
    address     TEXT,
    state       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    FOREIGN KEY (tool, release) REFERENCES releases (tool, number)
) STRICT;
