"""The store in memory: for tests and simulations, with the same promises, and a crash that can be called."""
