"""Access to language models: one protocol, adapters to providers, capabilities, budgets, and prompts as files.

Nothing here knows definitions or drafts: the caller brings a conversation and tools, and gets text and checked calls.
"""
