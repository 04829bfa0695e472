"""Evaluation of authors: how well rules or a language model turn requests in English into definitions and edits."""
