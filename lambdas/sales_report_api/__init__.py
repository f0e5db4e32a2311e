"""Starts a sales report by request."""
