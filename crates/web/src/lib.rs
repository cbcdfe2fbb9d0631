//! The API door: /api/v1 over the application layer.
