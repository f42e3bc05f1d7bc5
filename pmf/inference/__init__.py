"""What updates parameters: one module an algorithm, the row update they share, and its layouts."""
