"""Going back: to an earlier generation, by itself after a failure, and to what was there before us."""
