"""What conda brings: its settings, its packages, and environments that are made of them."""
