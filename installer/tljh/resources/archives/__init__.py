"""Files that hold a part of a machine: bundles, and backups with what seals them."""
