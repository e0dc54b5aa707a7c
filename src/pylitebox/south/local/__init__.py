"""The local platform: no guests, only clocks, randomness and buffers, on any operating system."""
