"""Reads a day's sales from the database."""
