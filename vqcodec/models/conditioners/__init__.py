"""Conditioners: vectors that tell a decoder what to go by beside the codes, such as whose voice."""
