"""Judging a policy: statistics, baselines, the log of trials, the verdict, experiments and the report page."""
