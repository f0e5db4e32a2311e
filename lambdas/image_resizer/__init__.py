"""Makes a smaller image of each image that comes in."""
