"""The list that the cases enter themselves into."""

from client.conformance.case import Suite
from client.conformance.relay import Relay

SUITE: Suite[Relay] = Suite()
