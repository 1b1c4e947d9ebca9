"""Push services: one adapter a kind, behind `relay.ports.pusher`."""
