"""What all tests share."""

from hypothesis import settings

# The tests' own time limit is enough; an example that is slow on a busy machine is no failure.
settings.register_profile("arcane", deadline=None, print_blob=True)
settings.load_profile("arcane")
