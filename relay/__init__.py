"""TokenIM's relay: it queues and forwards envelopes that it cannot read."""

__version__ = "0.1.0"
