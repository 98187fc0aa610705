"""Describe, compare, change: knows resources, plans and the store, but no JupyterHub and no plugin."""
