"""A study on disk: the record that everything else mirrors."""
