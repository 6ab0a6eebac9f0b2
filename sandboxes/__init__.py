"""Where tools run: Docker containers, or this machine without isolation."""
