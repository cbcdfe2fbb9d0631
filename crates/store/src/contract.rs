//! What every database must keep, as tests that any of them can run.
