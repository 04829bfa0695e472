"""Schema registries: schemas by id and by subject, and payloads that are written with them. Their libraries are the
extra `schemas`, and are imported when a registry is set, or an event is bound to a subject."""
