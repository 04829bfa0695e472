"""What the hosts of a partition share: decisions about input, output and time, without I/O."""
