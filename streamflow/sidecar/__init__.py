"""The sidecar: the HTTP process for people, callbacks and plugins. It never touches the engine's store."""
