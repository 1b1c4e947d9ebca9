"""Whether a relay can run here, or does well where it runs: one line a check, with the mend. Changes nothing."""
