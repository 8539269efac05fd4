"""Image segmentation, built step by step in the notebooks and kept here, tested."""
