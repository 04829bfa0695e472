"""Results of the long tests, each bound to the hash of the code that it ran."""
