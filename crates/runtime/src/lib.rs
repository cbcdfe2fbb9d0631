//! Where releases run: the trait and its machine backend.
