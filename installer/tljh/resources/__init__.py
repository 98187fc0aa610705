"""One file per kind of thing on the machine: how it is described, observed and changed."""
