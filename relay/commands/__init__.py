"""What can be asked of a relay by who runs it: the same commands from the command line and on the second listener."""
