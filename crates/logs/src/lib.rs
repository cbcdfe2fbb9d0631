//! Log streams: append-only rows with offsets, written by shims, router and stations, tailed by serve.
