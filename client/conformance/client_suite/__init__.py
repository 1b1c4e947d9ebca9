"""The half of the kit that tries clients: a scripted relay, and the adapter through which a client is told what to do."""
