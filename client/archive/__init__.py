"""The history archive: what was said, sealed in the account's log, for devices that come later."""
