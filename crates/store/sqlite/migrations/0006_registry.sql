-- The registry: what clients pushed into `<tool>/import/…`. Images of releases need no rows here; they are read from
-- `images` and `releases`.

CREATE TABLE repositories (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tool       TEXT NOT NULL REFERENCES tools (id),
    -- Without the tool's name: `import/redis`.
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tool, name)
) STRICT;

-- A blob is there for a repository only by a row here: knowing a digest is no right.
CREATE TABLE repository_blobs (
    repository  INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest      TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    -- Until then it stays without any manifest: its client is still pushing.
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX repository_blobs_digest ON repository_blobs (digest);
CREATE INDEX repository_blobs_lease ON repository_blobs (lease_until) WHERE lease_until > 0;

CREATE TABLE manifests (
    repository INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest     TEXT NOT NULL,
    media_type TEXT NOT NULL,
    -- Byte for byte as it was pushed.
    body       BLOB NOT NULL,
    subject    TEXT,
    pushed_at  INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT;

CREATE INDEX manifests_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;

-- What a manifest needs: its config and layers, or the manifests that an index lists.
CREATE TABLE manifest_uses (
    repository INTEGER NOT NULL,
    manifest   TEXT NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX manifest_uses_digest ON manifest_uses (repository, digest);

CREATE TABLE tags (
    repository INTEGER NOT NULL,
    name       TEXT NOT NULL,
    manifest   TEXT NOT NULL,
    set_at     INTEGER NOT NULL,
    PRIMARY KEY (repository, name),
    FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX tags_manifest ON tags (repository, manifest);

-- Unfinished uploads; their bytes lie in a file of that id.
CREATE TABLE uploads (
    id             TEXT PRIMARY KEY NOT NULL,
    repository     INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    user           TEXT NOT NULL REFERENCES users (id),
    received_bytes INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_repository ON uploads (repository);

-- Short-lived tokens of the registry's own: what a longer-lived one was exchanged for.
CREATE TABLE registry_tokens (
    hash       BLOB PRIMARY KEY NOT NULL CHECK (length(hash) = 32),
    token      TEXT NOT NULL REFERENCES tokens (id),
    -- JSON.
    grants     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX registry_tokens_expires ON registry_tokens (expires_at);

-- Blobs whose last row may be gone. Their file is removed once nothing names them and a while has passed.
CREATE TABLE loose_blobs (
    digest   TEXT PRIMARY KEY NOT NULL,
    loose_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX loose_blobs_since ON loose_blobs (loose_at);
CREATE INDEX image_layers_blob ON image_layers (blob);
CREATE INDEX layers_blob ON layers (blob);
CREATE INDEX images_digest ON images (digest);
CREATE INDEX images_config ON images (config);

-- Whichever verb removes the row: the blob is looked at.
CREATE TRIGGER loose_repository_blob AFTER DELETE ON repository_blobs BEGIN
    INSERT OR REPLACE INTO loose_blobs VALUES (OLD.digest, unixepoch() * 1000000);
END;
CREATE TRIGGER loose_image_layer AFTER DELETE ON image_layers BEGIN
    INSERT OR REPLACE INTO loose_blobs VALUES (OLD.blob, unixepoch() * 1000000);
END;
CREATE TRIGGER loose_image AFTER DELETE ON images BEGIN
    INSERT OR REPLACE INTO loose_blobs VALUES (OLD.digest, unixepoch() * 1000000);
    INSERT OR REPLACE INTO loose_blobs VALUES (OLD.config, unixepoch() * 1000000);
END;
CREATE TRIGGER loose_layer AFTER DELETE ON layers BEGIN
    INSERT OR REPLACE INTO loose_blobs VALUES (OLD.blob, unixepoch() * 1000000);
END;
