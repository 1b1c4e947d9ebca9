"""`tokenim-conformance`: whether a relay, or a client, does what docs/protocol.md says.

It is written from that document alone and shares no code with the rest of this project: it makes its bytes by itself, with
PyNaCl, cryptography, msgspec and aiohttp.
"""
