"""`retouchd why`: a question about one file, answered step by step."""
