"""Sends made-up orders to the queue."""
