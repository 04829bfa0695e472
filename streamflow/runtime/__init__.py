"""The hosts: processes that read commands, run the engine on them, and keep its state. Faust is imported here and in
`agents` only."""
