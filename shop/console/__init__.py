"""The console page: what a stage does, live in a browser, and what a person can do with it."""
