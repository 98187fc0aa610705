"""What an environment is to hold: solved, taken from a lock, renewed, written down, bundled."""
