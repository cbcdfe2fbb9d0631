//! Everything a person can ask for: commands and queries, each authorised, validated, audited.
