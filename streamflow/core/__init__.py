"""The core between the wire and its hosts: decides on records, without I/O, clocks or logging."""
