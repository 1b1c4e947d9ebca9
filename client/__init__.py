"""The reference client of TokenIM, a library and the `tokenim` command."""
