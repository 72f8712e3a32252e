"""The algorithm as the harness meets it: config, train function, questions to them, results."""
