"""The operators' side: what the topics say, without any access to a worker or its store."""
