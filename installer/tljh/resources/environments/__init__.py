"""Python environments: how they are solved, built, compared, verified and repaired; and the wheels for them."""
