"""The mirror: Streamflow's own records once more in Avro, in the wire format of a schema registry, for other systems.
It decides nothing, and nothing waits for it."""
