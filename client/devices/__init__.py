"""The own devices: who is in the list, linking, what they share with each other, and taking one out again."""
