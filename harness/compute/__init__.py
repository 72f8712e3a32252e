"""Where runs are computed: tasks in, events out."""
