"""Learning that goes on after training: row by row, from labels that are known by then, and guarded."""
