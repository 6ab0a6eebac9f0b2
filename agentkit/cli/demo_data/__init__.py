"""What the demo plays with: a small project with a bug, its past, and the model's answers."""
