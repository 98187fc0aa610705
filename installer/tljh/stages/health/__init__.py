"""Whether all is well: what ``tljh doctor`` looks at and mends."""
