"""Plain English over a catalog as a draft of a definition, by rules and without a language model."""
