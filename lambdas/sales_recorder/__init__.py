"""Records announced orders in the database."""
