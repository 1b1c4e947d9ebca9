"""What an operator may know: log lines from an allow-list of fields, and counters. A leaf: knows no other room."""
