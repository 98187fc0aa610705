"""Backups: what is in one, and a machine that is made of one."""
