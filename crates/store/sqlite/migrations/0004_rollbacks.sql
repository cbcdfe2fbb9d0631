-- A rollback is a run of its own; a deployment names the run that brought it.

-- Number of the release that is made live again; null: the run of a push.
ALTER TABLE runs ADD COLUMN rollback_to INTEGER;

ALTER TABLE deployments ADD COLUMN run TEXT REFERENCES runs (id);

UPDATE deployments SET run =
    (SELECT run FROM releases WHERE releases.tool = deployments.tool AND releases.number = deployments.release);

-- How many restarts of its tool had been asked for when the copy was started.
ALTER TABLE replicas ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;

UPDATE replicas SET restarts = (SELECT restarts FROM tools WHERE tools.id = replicas.tool);
