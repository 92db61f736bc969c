"""Ready-made kinds: a context class and a builder each, found as entry points."""
