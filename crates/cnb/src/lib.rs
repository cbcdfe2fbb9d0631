//! Every Cloud Native Buildpacks file format, both directions, specification section cited.
