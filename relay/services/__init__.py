"""The relay's jobs, one a file; each knows ports and the wire's vocabulary, never HTTP or SQL."""
