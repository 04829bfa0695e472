"""The authors that can be evaluated."""
