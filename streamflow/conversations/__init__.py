"""Conversations about drafts: what people and the assistant did, in the order in which it happened, and what follows
from it."""
