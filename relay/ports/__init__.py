"""What the services need of the world, each port a sentence of promises; adapters keep them, one suite checks them."""
