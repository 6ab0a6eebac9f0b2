"""Task sets: read them, run an agent on each task, grade the result, report.

Dependencies point one way: this room imports the framework, tools and sandboxes; nothing but the
command line imports it.
"""
