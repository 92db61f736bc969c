"""Cannot be imported, and says why in words of its own."""

from arcane_framework import ConfigurationError

raise ConfigurationError("this plugin needs the variable ORDERS_REGION: set it in the stream class")
