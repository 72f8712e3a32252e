"""Executors: tasks in, events out, in child processes or in this one."""
