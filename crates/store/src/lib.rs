//! What must survive: business verbs, one transaction each, and the contract every database must keep.
