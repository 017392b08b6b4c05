"""The rules of fusion, pure: one module per family; all take clean input, every row finite."""
