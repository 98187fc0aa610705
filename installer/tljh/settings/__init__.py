"""config.yaml: its schema, its document, and what happens when an admin changes it."""
