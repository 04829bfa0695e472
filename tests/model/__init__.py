"""Executable specifications: small models of a part of the engine, and the laws that they must keep."""
