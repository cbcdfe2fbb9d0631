//! The product as its users meet it: every test starts the real platform, pushes with the real git, and asks over
//! real HTTP. `apps/` holds the tools that are pushed.
