"""Backups: one tar file with all that a data folder holds, made beside a running relay, checked, and put back."""
