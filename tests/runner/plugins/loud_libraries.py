"""A stream of numbers of somebody who looks for a fault, with all that the libraries say."""

import logging

from tests.runner.plugins.numbers_stream import Numbers

LIBRARIES = ("azure", "boto3", "botocore", "urllib3")

logging.basicConfig(level=logging.DEBUG)
for library in LIBRARIES:
    logging.getLogger(library).setLevel(logging.DEBUG)

__all__ = ["Numbers"]
