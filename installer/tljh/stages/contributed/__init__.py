"""What plugins contribute to an install beside packages: their sources, resources, deeds and stages."""
