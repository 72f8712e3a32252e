"""What a person does with a study: run, tune, sync, repair."""
