"""agentkit beside what its users would otherwise pick: one job, one machine, one run."""
