"""Commands on a study: run, tune, sync, repair."""
