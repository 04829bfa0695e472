"""Drafts of definitions: typed operations on them, what an operation changed, what is understood, and what is missing.

Pure: it reads nothing but what it is given.
"""
