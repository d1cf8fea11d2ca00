"""Networks: what learns."""
