"""Cannot start: what it needs is not there."""

raise SystemExit("no database configured: set DATABASE_URL")
