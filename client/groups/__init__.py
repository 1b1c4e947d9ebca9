"""Groups in the client: following the log, committing, handing out, sending and receiving. docs/protocol.md, "Groups".

`opening` and `handlers` take what comes, `following` applies what the log says, `committing` makes commits, `hand_outs`
and `sending` let this device speak, `care` is the errand that asks the relay, `rooms` what an application calls.
"""
