"""The running topology, one file for each kind of worker: topic in, one call, topic out."""
