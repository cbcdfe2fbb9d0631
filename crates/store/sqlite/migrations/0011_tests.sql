-- What tests leave: layers for the next build for tests of a ref, and which sources passed.

CREATE TABLE test_builds (
    tool     TEXT NOT NULL REFERENCES tools (id),
    ref_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tool, ref_name)
) STRICT;

CREATE TABLE test_passes (
    tool   TEXT NOT NULL REFERENCES tools (id),
    -- Of everything that decides how tests end.
    recipe TEXT NOT NULL,
    run    TEXT NOT NULL REFERENCES runs (id),
    at     INTEGER NOT NULL,
    PRIMARY KEY (tool, recipe)
) STRICT;
