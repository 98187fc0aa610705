"""Plugins: found and loaded one by one, asked in a child process, merged and run without harm to the rest.

loading.py finds and loads them · values.py tells what a hook may return · child.py is the process that calls
hooks during an install, calls.py its parent's side · contributions.py what list hooks asked for · merge.py how
keys of config.yaml are merged · runtime.py their hooks inside the hub · snapshot.py its configuration, kept and
restored.
"""
