"""Brings the database's schema up to date."""
