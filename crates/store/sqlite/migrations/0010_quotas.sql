-- What each tool's storage holds, each thing once, and how much that is. The rows follow their sources by triggers, so
-- that whichever verb adds or removes an image, a cache or a blob, the ledger moves in the same transaction.

-- Null: the platform's.
ALTER TABLE tools ADD COLUMN quota_bytes INTEGER CHECK (quota_bytes >= 0);

-- The platform's, as the operator set it at the last start.
CREATE TABLE default_quota (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
) STRICT;

INSERT INTO default_quota VALUES (1, 10737418240);

CREATE TABLE tool_items (
    tool       TEXT NOT NULL REFERENCES tools (id),
    -- `blob`, `tree` (a layer's directory), `manifest`.
    kind       TEXT NOT NULL,
    -- Of a tree: the layer's diffID.
    digest     TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (tool, kind, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE tool_usage (
    tool       TEXT PRIMARY KEY NOT NULL REFERENCES tools (id),
    used_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER item_added AFTER INSERT ON tool_items BEGIN
    INSERT INTO tool_usage SELECT NEW.tool, 0
        WHERE NOT EXISTS (SELECT 1 FROM tool_usage WHERE tool = NEW.tool);
    UPDATE tool_usage SET used_bytes = used_bytes + NEW.size_bytes WHERE tool = NEW.tool;
END;
CREATE TRIGGER item_removed AFTER DELETE ON tool_items BEGIN
    UPDATE tool_usage SET used_bytes = used_bytes - OLD.size_bytes WHERE tool = OLD.tool;
END;

CREATE INDEX image_layers_tool_blob ON image_layers (tool, blob);
CREATE INDEX image_layers_tool_layer ON image_layers (tool, diff_id);
CREATE INDEX layer_use_cache ON layer_use (diff_id, substr(holder, 7, 36)) WHERE holder GLOB 'build:*';

-- Layers that a build keeps for the next one: `build:<tool>:<ref>` holds them.
CREATE VIEW cached_layers (tool, diff_id) AS
    SELECT substr(holder, 7, 36), diff_id FROM layer_use WHERE holder GLOB 'build:*';

-- Everything that a tool needs, as often as it needs it.
CREATE VIEW tool_needs (tool, kind, digest, size_bytes) AS
    SELECT tool, 'blob', blob, size_bytes FROM image_layers
    UNION ALL
    SELECT image_layers.tool, 'tree', image_layers.diff_id, layers.tree_bytes
        FROM image_layers JOIN layers ON layers.diff_id = image_layers.diff_id
    UNION ALL
    SELECT cached_layers.tool, 'blob', layers.blob, layers.blob_bytes
        FROM cached_layers JOIN layers ON layers.diff_id = cached_layers.diff_id
    UNION ALL
    SELECT cached_layers.tool, 'tree', layers.diff_id, layers.tree_bytes
        FROM cached_layers JOIN layers ON layers.diff_id = cached_layers.diff_id
    UNION ALL
    SELECT repositories.tool, 'blob', repository_blobs.digest, repository_blobs.size_bytes
        FROM repository_blobs JOIN repositories ON repositories.id = repository_blobs.repository
    UNION ALL
    SELECT repositories.tool, 'manifest', manifests.digest, length(manifests.body)
        FROM manifests JOIN repositories ON repositories.id = manifests.repository;

-- The layers of the base images are the platform's: they cost nobody anything.
CREATE TRIGGER image_layer_counted AFTER INSERT ON image_layers
WHEN NOT EXISTS (SELECT 1 FROM layer_use WHERE diff_id = NEW.diff_id AND holder GLOB 'base:*') BEGIN
    INSERT INTO tool_items SELECT NEW.tool, 'blob', NEW.blob, NEW.size_bytes WHERE NOT EXISTS (
        SELECT 1 FROM tool_items WHERE tool = NEW.tool AND kind = 'blob' AND digest = NEW.blob);
    INSERT INTO tool_items SELECT NEW.tool, 'tree', NEW.diff_id, tree_bytes FROM layers
        WHERE diff_id = NEW.diff_id AND NOT EXISTS (
            SELECT 1 FROM tool_items WHERE tool = NEW.tool AND kind = 'tree' AND digest = NEW.diff_id);
END;
CREATE TRIGGER image_layer_let_go AFTER DELETE ON image_layers BEGIN
    DELETE FROM tool_items WHERE tool = OLD.tool AND kind = 'blob' AND digest = OLD.blob AND NOT EXISTS (
        SELECT 1 FROM tool_needs WHERE tool = OLD.tool AND kind = 'blob' AND digest = OLD.blob);
    DELETE FROM tool_items WHERE tool = OLD.tool AND kind = 'tree' AND digest = OLD.diff_id AND NOT EXISTS (
        SELECT 1 FROM tool_needs WHERE tool = OLD.tool AND kind = 'tree' AND digest = OLD.diff_id);
END;

CREATE TRIGGER cached_layer_counted AFTER INSERT ON layer_use
WHEN NEW.holder GLOB 'build:*'
    AND NOT EXISTS (SELECT 1 FROM layer_use WHERE diff_id = NEW.diff_id AND holder GLOB 'base:*') BEGIN
    INSERT INTO tool_items SELECT substr(NEW.holder, 7, 36), 'blob', blob, blob_bytes FROM layers
        WHERE diff_id = NEW.diff_id AND NOT EXISTS (
            SELECT 1 FROM tool_items
            WHERE tool = substr(NEW.holder, 7, 36) AND kind = 'blob' AND tool_items.digest = layers.blob);
    INSERT INTO tool_items SELECT substr(NEW.holder, 7, 36), 'tree', diff_id, tree_bytes FROM layers
        WHERE diff_id = NEW.diff_id AND NOT EXISTS (
            SELECT 1 FROM tool_items
            WHERE tool = substr(NEW.holder, 7, 36) AND kind = 'tree' AND tool_items.digest = layers.diff_id);
END;
CREATE TRIGGER cached_layer_let_go AFTER DELETE ON layer_use WHEN OLD.holder GLOB 'build:*' BEGIN
    DELETE FROM tool_items WHERE tool = substr(OLD.holder, 7, 36) AND kind = 'blob'
        AND digest = (SELECT blob FROM layers WHERE diff_id = OLD.diff_id) AND NOT EXISTS (
            SELECT 1 FROM tool_needs
            WHERE tool = substr(OLD.holder, 7, 36) AND kind = 'blob' AND tool_needs.digest = tool_items.digest);
    DELETE FROM tool_items WHERE tool = substr(OLD.holder, 7, 36) AND kind = 'tree' AND digest = OLD.diff_id
        AND NOT EXISTS (
            SELECT 1 FROM tool_needs
            WHERE tool = substr(OLD.holder, 7, 36) AND kind = 'tree' AND tool_needs.digest = OLD.diff_id);
END;

CREATE TRIGGER repository_blob_counted AFTER INSERT ON repository_blobs BEGIN
    INSERT INTO tool_items SELECT tool, 'blob', NEW.digest, NEW.size_bytes FROM repositories
        WHERE id = NEW.repository AND NOT EXISTS (
            SELECT 1 FROM tool_items
            WHERE tool_items.tool = repositories.tool AND kind = 'blob' AND digest = NEW.digest);
END;
CREATE TRIGGER repository_blob_let_go AFTER DELETE ON repository_blobs BEGIN
    DELETE FROM tool_items WHERE tool = (SELECT tool FROM repositories WHERE id = OLD.repository)
        AND kind = 'blob' AND digest = OLD.digest AND NOT EXISTS (
            SELECT 1 FROM tool_needs WHERE tool_needs.tool = tool_items.tool
                AND tool_needs.kind = 'blob' AND tool_needs.digest = OLD.digest);
END;

CREATE TRIGGER manifest_counted AFTER INSERT ON manifests BEGIN
    INSERT INTO tool_items SELECT tool, 'manifest', NEW.digest, length(NEW.body) FROM repositories
        WHERE id = NEW.repository AND NOT EXISTS (
            SELECT 1 FROM tool_items
            WHERE tool_items.tool = repositories.tool AND kind = 'manifest' AND digest = NEW.digest);
END;
CREATE TRIGGER manifest_let_go AFTER DELETE ON manifests BEGIN
    DELETE FROM tool_items WHERE tool = (SELECT tool FROM repositories WHERE id = OLD.repository)
        AND kind = 'manifest' AND digest = OLD.digest AND NOT EXISTS (
            SELECT 1 FROM tool_needs WHERE tool_needs.tool = tool_items.tool
                AND tool_needs.kind = 'manifest' AND tool_needs.digest = OLD.digest);
END;

-- What was there before.
INSERT INTO tool_items
    SELECT tool, kind, digest, max(size_bytes) FROM tool_needs
    WHERE digest NOT IN (
        SELECT layers.blob FROM layers JOIN layer_use ON layer_use.diff_id = layers.diff_id
            WHERE layer_use.holder GLOB 'base:*'
        UNION SELECT diff_id FROM layer_use WHERE holder GLOB 'base:*')
        AND tool IN (SELECT id FROM tools)
    GROUP BY tool, kind, digest;
