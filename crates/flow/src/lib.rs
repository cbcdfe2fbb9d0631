//! The line: plan, build, release, deploy; and the engine that moves runs along it.
