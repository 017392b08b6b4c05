"""The tools, by what they are about. Each is a method; the server registers them."""
