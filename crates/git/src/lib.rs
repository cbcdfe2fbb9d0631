//! The git door: smart HTTP push and clone by the git program, and the hooks that speak to serve.
