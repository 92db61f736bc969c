"""HTTP as a source needs it: the one importer of HTTP transports."""
