"""Tests of the console page in a real browser, over the deployed local cloud."""
