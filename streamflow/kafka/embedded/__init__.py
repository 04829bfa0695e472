"""A Kafka of one's own on loopback: its programs, one node, and the process that ends it. Not for production."""
