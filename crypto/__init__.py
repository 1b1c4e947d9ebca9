"""What makes the envelopes opaque: pure, synchronous functions without I/O.

Imports nothing of the relay or client.
"""
