"""The proof that each role may do what it needs, and nothing else: `make prove-permissions` (see `__main__`)."""
