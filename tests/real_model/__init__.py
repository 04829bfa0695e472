"""A small real language model on this machine: `make model-test`.

Good for the protocol, streaming, cancellation, usage and answers held to a schema; it is too small to make sense.
"""
