"""What one client needs and nothing else does. A client's name appears here and in its tests (tests/clients), nowhere else.

environment.py    variables that prepare a program before it starts; `anywarp run` and `anywarp.auto` set them
hooks.py          what happens when a client package is imported; light, since every Python process under `anywarp run` loads it
startup/          the folder on PYTHONPATH whose sitecustomize.py installs the hooks
catalogue.py      the clients, what they need and how to install it: for `anywarp doctor` and the tests
cuda_bindings.py, nvjitlink.py, triton.py   the hooks' work
"""
