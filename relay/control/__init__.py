"""The socket in the data folder, through which the command line talks to the relay that runs there."""
