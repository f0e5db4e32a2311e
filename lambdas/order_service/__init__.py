"""The order service: a CRUD microservice on a table of its own."""
