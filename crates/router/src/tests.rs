//! The router with real sockets: clients, tools and serve.
