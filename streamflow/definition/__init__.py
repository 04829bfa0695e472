"""What an author wrote, checked and compiled to what a worker runs. Pure: no clock, no randomness, no I/O, no
logging."""
