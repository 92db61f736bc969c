"""Complete programs; each one runs in the tests."""
