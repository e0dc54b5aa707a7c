"""What is x86-64's own in the Linux ABI: registers of a call, signal frames."""
