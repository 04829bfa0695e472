"""Requests of Flow-Bench (IBM, Apache License 2.0, arXiv 2505.11646): the workflow that was meant, as definitions of
this project's language, or the construct that the language lacks. The data is no part of this repository."""
