"""Vectors that every implementation must reproduce, and what writes them."""
