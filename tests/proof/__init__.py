"""The proof: the real log on a real broker, through crashes, judged by readers that know nothing of streamflow. `make
proof` runs it."""
