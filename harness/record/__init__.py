"""What a study leaves on disk: the record that everything else mirrors."""
