"""Everything that speaks to Kafka's administration or starts a Kafka: topics, connection, definitions log, embedded
broker."""
