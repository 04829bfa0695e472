"""The resources that a rate of runs needs: from a definition's scenarios, counted in the simulator, and constants
that were measured, to workers, partitions, memory, disk and the broker's traffic. No I/O."""
