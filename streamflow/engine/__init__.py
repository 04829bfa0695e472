"""The engine: commands are decided, facts are evolved, effects are returned as data. Pure: no clock, no randomness, no
I/O, no logging."""
