"""Edits of a draft from plain sentences, by rules: each becomes typed operations or a question."""
