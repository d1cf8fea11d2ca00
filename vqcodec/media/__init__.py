"""Media files to arrays and back. Never imports torch, but to give a tensor to who asks for one."""
