"""A stand-in for TLJH 1.x and 2.x: see the README beside this package."""
