"""Recovery: the words of an account, the backups that only they open, and a new device made from them."""
