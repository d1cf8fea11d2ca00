"""Folders, archives and tables of files to train on and to measure."""
