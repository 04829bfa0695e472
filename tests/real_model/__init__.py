"""A small real language model on this machine: `make model-test`.

Good for the protocol, streaming, cancellation, usage and answers held to a schema; it is too small to make sense.
"""

VARIABLE = "STREAMFLOW_TEST_MODEL"
"""Of the environment: the address of the model for the tests of this folder."""
