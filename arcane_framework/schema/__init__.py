"""Schemas of others, and text that is read by them, as Arrow."""
