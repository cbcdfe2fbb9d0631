"""Runs once before a release goes live, and fails."""

import sys

print("table `words` does not exist", file=sys.stderr)
sys.exit(3)
