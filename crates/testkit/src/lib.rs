//! World: the real server on port 0 with its own store, and a leak check when it is dropped.
