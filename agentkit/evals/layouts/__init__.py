"""The layouts of task folders that agentkit reads, one module each."""
