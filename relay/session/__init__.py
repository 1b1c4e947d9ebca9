"""What a connection or a request may do next, and whether its signature proves who asks. Does no I/O."""
