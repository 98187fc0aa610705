"""An installer for a JupyterHub on one server that speaks the public contract of The Littlest JupyterHub."""
