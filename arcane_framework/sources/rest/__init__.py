"""The REST API source."""
