"""Pictures that explain codes."""
