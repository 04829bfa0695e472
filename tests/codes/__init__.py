"""The codes that people see: which there are, which tests bring them about, and the table in docs/bad-input.md."""
