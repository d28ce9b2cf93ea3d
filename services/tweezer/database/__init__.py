"""How services reach their databases."""
