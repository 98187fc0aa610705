"""What runs inside the hub: its configuration, the spawner, limits and the mends of authenticators."""
