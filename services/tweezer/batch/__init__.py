"""BatchService: takes in batches, keeps their programs, and says what becomes of them."""
