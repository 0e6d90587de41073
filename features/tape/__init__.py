"""Features of the kind "tape": trades and quotes in one sequence, for what a trade paid against the mid around it."""
