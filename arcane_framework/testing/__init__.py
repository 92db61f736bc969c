"""The test kit for plugins; the framework is tested with it, too."""
