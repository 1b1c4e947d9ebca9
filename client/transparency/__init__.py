"""The relay's transparency log as this client watches it: heads, proofs, what contacts gossip, and the alarms over it."""
