"""What updates parameters: one module per algorithm, the row update they share, and its layouts."""
