//! The layer store: every layer unpacked once into a directory by diffID, beside its blob.
