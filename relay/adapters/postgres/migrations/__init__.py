"""Numbered SQL files, one step of the schema each; once released a file is never changed."""
