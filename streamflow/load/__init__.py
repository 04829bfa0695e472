"""A load generator: scenarios of a published definition, sent to the real topics at a rate, and what `runs` says of
them."""
