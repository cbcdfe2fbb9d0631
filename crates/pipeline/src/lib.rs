//! Reads a source tree's own words (Procfile, project.toml, service.template) into a plan. Pure.
