"""Locks: what a solve gives, the files that are written of it, and what a machine that follows one may do."""
