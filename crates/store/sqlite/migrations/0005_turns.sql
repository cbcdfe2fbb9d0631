-- Whose turn it is: runs that wait for others, shares of tools, an order over all runs.

-- What a new push does to earlier runs of its branch; null: as the platform is set.
ALTER TABLE tools ADD COLUMN on_new_push TEXT;
-- Counted up over all tools whenever a run of one begins: the tool with the least was served longest ago.
ALTER TABLE tools ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tools_served ON tools (served);

-- Counted up over all tools in the order of recording: times may be equal or go back, this does not.
ALTER TABLE runs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET turn = rowid;
CREATE UNIQUE INDEX runs_turn ON runs (turn);
-- Nothing of it may begin before an earlier run of its branch has ended.
ALTER TABLE runs ADD COLUMN waits INTEGER NOT NULL DEFAULT 0 CHECK (waits IN (0, 1));
-- Its branch may have moved between its push and its turn.
ALTER TABLE runs ADD COLUMN late INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1));
-- Number of the run in favour of which it was asked to end.
ALTER TABLE runs ADD COLUMN superseded_by INTEGER;
-- How long it was open in all while none of its steps ran; the platform's own downtime does not count.
ALTER TABLE runs ADD COLUMN waited_seconds INTEGER NOT NULL DEFAULT 0;

-- Copies of what claims are ordered by, so that an index alone finds the next one.
ALTER TABLE steps ADD COLUMN tool TEXT NOT NULL DEFAULT '' REFERENCES tools (id);
ALTER TABLE steps ADD COLUMN lane TEXT NOT NULL DEFAULT 'people';
ALTER TABLE steps ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
UPDATE steps SET (tool, turn) = (SELECT runs.tool, runs.turn FROM runs WHERE runs.id = steps.run);
DROP INDEX steps_moving;
CREATE INDEX steps_ready ON steps (lane, tool, turn, position, not_before, exclusive) WHERE state = 'ready';
CREATE INDEX steps_running ON steps (tool, exclusive) WHERE state = 'running';
