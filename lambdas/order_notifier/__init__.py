"""Announces new orders on the topic."""
