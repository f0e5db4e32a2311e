"""Takes orders off the queue and stores each exactly once."""
